# Three groups of nodes: `services` is always there, `workers` and `gpus` come when pods ask for
# them and go when they are idle.

resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = jsonencode(local.assumed_by["ec2.amazonaws.com"])
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"])
  role       = aws_iam_role.node.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/${each.value}"
}

locals {
  gpu_taint = { key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }
  groups = merge(
    {
      services = merge(var.services, {
        ami = "AL2023_x86_64_STANDARD", capacity = "ON_DEMAND", taints = [], resources = {}, labels = {}
      })
    },
    var.workers.max == 0 ? {} : {
      workers = merge(var.workers, {
        min    = 0, ami = "AL2023_x86_64_STANDARD", capacity = var.workers.spot ? "SPOT" : "ON_DEMAND",
        taints = [], resources = {}, labels = {}
      })
    },
    var.gpus.max == 0 ? {} : {
      gpus = merge(var.gpus, {
        min    = 0, ami = "AL2023_x86_64_NVIDIA", capacity = var.gpus.spot ? "SPOT" : "ON_DEMAND",
        taints = [local.gpu_taint], resources = { "nvidia.com/gpu" = tostring(var.gpus.per_node) }
        # A node that has it and no GPUs yet is waited for by the autoscaler, which else starts another.
        labels = { "k8s.amazonaws.com/accelerator" = "nvidia" }
      })
    },
  )
  # A group without nodes cannot be asked what its nodes would be like: the autoscaler reads it here.
  described = merge([
    for name, group in local.groups : merge(
      {
        for label, value in merge({ "headrace.dev/nodes" = name }, group.labels) : "${name}/label/${label}" =>
        { group = name, value = value }
      },
      {
        for taint in group.taints : "${name}/taint/${taint.key}" =>
        { group = name, value = "${taint.value}:NoSchedule" }
      },
      {
        for resource, count in group.resources : "${name}/resources/${resource}" =>
        { group = name, value = count }
      },
    )
  ]...)
}

resource "aws_launch_template" "node" {
  for_each = local.groups
  name     = "${var.name}-${each.key}"

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = each.value.disk_gib
      volume_type = "gp3"
      encrypted   = true
    }
  }
  # Pods are their service account's role, never their node's.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = "${var.name}-${each.key}" })
  }
  tags = local.tags
}

resource "aws_eks_node_group" "this" {
  for_each        = local.groups
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = [for one in aws_subnet.private : one.id]
  ami_type        = each.value.ami
  capacity_type   = each.value.capacity
  instance_types  = each.value.instance_types
  labels          = merge({ "headrace.dev/nodes" = each.key }, each.value.labels)

  launch_template {
    id      = aws_launch_template.node[each.key].id
    version = aws_launch_template.node[each.key].latest_version
  }
  scaling_config {
    min_size     = each.value.min
    desired_size = each.value.min
    max_size     = each.value.max
  }
  update_config {
    max_unavailable = 1
  }
  dynamic "taint" {
    for_each = each.value.taints
    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }
  tags       = local.tags
  depends_on = [aws_iam_role_policy_attachment.node]

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # the autoscaler's from then on
  }
}

resource "aws_autoscaling_group_tag" "described" {
  for_each               = local.described
  autoscaling_group_name = aws_eks_node_group.this[each.value.group].resources[0].autoscaling_groups[0].name
  tag {
    key                 = "k8s.io/cluster-autoscaler/node-template/${trimprefix(each.key, "${each.value.group}/")}"
    value               = each.value.value
    propagate_at_launch = false
  }
}
