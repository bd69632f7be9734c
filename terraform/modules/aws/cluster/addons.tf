# What Kubernetes on AWS needs beside itself, each with no more rights than its own.

resource "aws_eks_addon" "this" {
  for_each = {
    vpc-cni            = { role = null, configured = { enableNetworkPolicy = "true" } }
    kube-proxy         = { role = null, configured = {} }
    coredns            = { role = null, configured = {} }
    metrics-server     = { role = null, configured = {} }
    aws-ebs-csi-driver = { role = module.roles["volumes"].arn, configured = { defaultStorageClass = { enabled = true } } }
  }
  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  service_account_role_arn    = each.value.role
  configuration_values        = length(each.value.configured) > 0 ? jsonencode(each.value.configured) : null
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "PRESERVE"
  tags                        = local.tags
  depends_on                  = [aws_eks_node_group.this]
}

module "roles" {
  source   = "../role"
  for_each = local.roles
  name     = "${var.name}-${each.key}"
  identity = local.identity
  accounts = [each.value.account]
  managed  = each.value.managed
  policy   = each.value.policy
  tags     = local.tags
}

locals {
  identity = {
    provider = aws_iam_openid_connect_provider.this.arn
    issuer   = trimprefix(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://")
  }
  autoscaler_account = "kube-system:cluster-autoscaler"
  roles = {
    volumes = {
      account = "kube-system:ebs-csi-controller-sa"
      managed = ["arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"]
      policy  = []
    }
    autoscaler = {
      account = local.autoscaler_account
      managed = []
      policy = [
        {
          Effect = "Allow"
          Action = [
            "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities",
            "autoscaling:DescribeTags", "ec2:DescribeImages", "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions", "ec2:GetInstanceTypesFromInstanceRequirements",
            "eks:DescribeNodegroup",
          ]
          Resource = "*"
        },
        {
          Effect    = "Allow"
          Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
          Resource  = "*"
          Condition = { StringEquals = { "aws:ResourceTag/eks:cluster-name" = var.name } }
        },
      ]
    }
  }
}
