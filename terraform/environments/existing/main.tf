# Headrace on a cluster that is there: on premises, kind, or anybody's. The Secrets that are named
# here have to be there as well.

module "headrace" {
  source     = "../../modules/release"
  name       = "headrace"
  namespace  = var.namespace
  chart      = coalesce(var.chart, "${path.module}/../../../helm/headrace")
  kubeconfig = var.kubeconfig
  values = [
    file(var.images),
    yamlencode({
      store = {
        url            = var.store.url
        endpoint       = var.store.endpoint
        clientEndpoint = var.store.client_endpoint
        region         = var.store.region
        existingSecret = var.store.secret
      }
      mlflow = {
        database    = { existingSecret = var.mlflow_database_secret }
        persistence = { enabled = var.mlflow_database_secret == "" }
      }
    }),
    yamlencode(var.values),
  ]
}
