# Headrace on AWS, from nothing: a cluster whose GPU nodes come and go, a bucket, a database, and
# the charts. Pods reach the bucket by their service account's role; there are no keys.

provider "aws" {
  region = var.region
  default_tags {
    tags = var.tags
  }
}

module "cluster" {
  source             = "../../modules/aws/cluster"
  name               = var.name
  kubernetes_version = var.cluster.kubernetes_version
  network            = var.cluster.network
  public_access      = var.cluster.public_access
  administrators     = var.cluster.administrators
  services           = var.cluster.services
  workers            = var.cluster.workers
  gpus               = var.cluster.gpus
  kubeconfig         = abspath("${path.root}/.kubeconfig")
}

module "storage" {
  source    = "../../modules/aws/storage"
  name      = var.name
  identity  = module.cluster.identity
  accounts  = [for one in local.accounts : "${var.namespace}:${one}"]
  vpc       = module.cluster.vpc
  protected = var.protected

  database_password         = var.database_password
  database_password_version = var.database_password_version
}

module "database" {
  source     = "../../modules/aws/secret"
  name       = "mlflow-database"
  namespace  = var.namespace
  source_arn = module.storage.databases["mlflow"].secret
  revision   = var.database_password_version
  kubeconfig = module.cluster.kubeconfig
}

locals {
  account = "headrace-step"
  # All that the chart gives the annotation to.
  accounts = [local.account, "headrace-client", "ml-pipeline", "ml-pipeline-ui"]
  # Others' charts: where they are, in which version, and the image that each runs.
  charts = yamldecode(file("${path.module}/../../../helm/charts.yaml"))
}

module "headrace" {
  source     = "../../modules/release"
  name       = "headrace"
  namespace  = var.namespace
  chart      = coalesce(var.chart, "${path.module}/../../../helm/headrace")
  kubeconfig = module.cluster.kubeconfig
  values = [
    file(var.images),
    yamlencode({
      store = module.storage.store
      serviceAccount = {
        name        = local.account
        annotations = { "eks.amazonaws.com/role-arn" = module.storage.role }
      }
      mlflow = { database = {
        existingSecret = module.database.name
        revision       = tostring(var.database_password_version)
      } }
    }),
    yamlencode(var.values),
  ]
  depends_on = [module.kuberay]
}

# What makes nodes come and go, and tells Kubernetes of their GPUs.
module "autoscaler" {
  source        = "../../modules/release"
  name          = "cluster-autoscaler"
  namespace     = "kube-system"
  chart         = "cluster-autoscaler"
  repository    = local.charts.cluster-autoscaler.repository
  chart_version = local.charts.cluster-autoscaler.version
  kubeconfig    = module.cluster.kubeconfig
  values = [yamlencode({
    image         = local.charts.cluster-autoscaler.image
    autoDiscovery = { clusterName = var.name }
    awsRegion     = var.region
    rbac = { serviceAccount = {
      name        = "cluster-autoscaler"
      annotations = { "eks.amazonaws.com/role-arn" = module.cluster.autoscaler_role }
    } }
    extraArgs = { expander = "least-waste", scale-down-unneeded-time = "5m", skip-nodes-with-local-storage = "false" }
  })]
}

module "gpus" {
  source        = "../../modules/release"
  name          = "nvidia-device-plugin"
  namespace     = "kube-system"
  chart         = "nvidia-device-plugin"
  repository    = local.charts.nvidia-device-plugin.repository
  chart_version = local.charts.nvidia-device-plugin.version
  kubeconfig    = module.cluster.kubeconfig
  values = [yamlencode({
    image        = local.charts.nvidia-device-plugin.image
    nodeSelector = { "headrace.dev/nodes" = "gpus" }
    affinity     = null
    tolerations  = module.cluster.gpu_tolerations
  })]
}

# Ray steps need its operator.
module "kuberay" {
  source        = "../../modules/release"
  name          = "kuberay-operator"
  namespace     = "kuberay-system"
  chart         = "kuberay-operator"
  repository    = local.charts.kuberay-operator.repository
  chart_version = local.charts.kuberay-operator.version
  kubeconfig    = module.cluster.kubeconfig
  values        = [yamlencode({ image = local.charts.kuberay-operator.image })]
}
