# Computed attributes are made up while planning, so that nothing is applied and no command runs.
mock_provider "aws" {
  source          = "../mocks"
  override_during = plan
}

variables {
  name = "trial"
}

run "nodes_with_gpus_come_from_nothing" {
  command = plan

  assert {
    condition     = toset(keys(aws_eks_node_group.this)) == toset(["services", "workers", "gpus"])
    error_message = "There are three groups of nodes."
  }
  assert {
    condition = [
      for one in aws_eks_node_group.this["gpus"].scaling_config : [one.min_size, one.desired_size, one.max_size]
    ] == [[0, 0, 4]]
    error_message = "No node with GPUs is there while nothing trains."
  }
  assert {
    condition     = aws_eks_node_group.this["gpus"].capacity_type == "SPOT" && aws_eks_node_group.this["services"].capacity_type == "ON_DEMAND"
    error_message = "Training goes to spot nodes, what is always there does not."
  }
  assert {
    condition = [for one in aws_eks_node_group.this["gpus"].taint : "${one.key}=${one.value}:${one.effect}"] == [
      "nvidia.com/gpu=present:NO_SCHEDULE"
    ]
    error_message = "Nodes with GPUs are kept for pods that ask for some."
  }
  assert {
    condition = { for key, one in aws_autoscaling_group_tag.described : key => one.tag[0].value } == {
      "services/label/headrace.dev/nodes" = "services"
      "workers/label/headrace.dev/nodes"  = "workers"
      "gpus/label/headrace.dev/nodes"     = "gpus"
      "gpus/taint/nvidia.com/gpu"         = "present:NoSchedule"

      "gpus/label/k8s.amazonaws.com/accelerator" = "nvidia"
      "gpus/resources/nvidia.com/gpu"            = "1"
    }
    error_message = "The autoscaler knows what nodes of an empty group would be like."
  }
  assert {
    condition = aws_autoscaling_group_tag.described["gpus/resources/nvidia.com/gpu"].tag[0].key == (
      "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu"
    )
    error_message = "It reads that from tags of this name."
  }
}

run "no_gpus_at_all" {
  command = plan
  variables {
    gpus = { max = 0 }
  }
  assert {
    condition     = toset(keys(aws_eks_node_group.this)) == toset(["services", "workers"])
    error_message = "A group that may have no nodes is not made."
  }
}

run "the_network" {
  command = plan
  variables {
    network = { cidr = "10.1.0.0/16", zones = 3 }
  }
  assert {
    condition = {
      for zone, one in aws_subnet.private : zone => one.cidr_block
      } == {
      "eu-central-1a" = "10.1.48.0/20", "eu-central-1b" = "10.1.64.0/20", "eu-central-1c" = "10.1.80.0/20"
    }
    error_message = "Private subnets follow the public ones."
  }
  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The API server is not on the internet unless somebody says from where."
  }
}

run "who_has_roles" {
  command = plan
  assert {
    condition = jsondecode(module.roles["autoscaler"].trust).Statement[0].Condition.StringEquals == {
      "oidc.eks.eu-central-1.amazonaws.com/id/MADE:aud" = "sts.amazonaws.com"
      "oidc.eks.eu-central-1.amazonaws.com/id/MADE:sub" = ["system:serviceaccount:kube-system:cluster-autoscaler"]
    }
    error_message = "A role is had by its own service account alone."
  }
}

run "a_cluster_that_is_too_old" {
  command = plan
  variables {
    kubernetes_version = "1.32"
  }
  expect_failures = [var.kubernetes_version]
}

run "addresses_that_are_none" {
  command = plan
  variables {
    network       = { cidr = "10.1.0.0" }
    public_access = ["everywhere"]
  }
  expect_failures = [var.network, var.public_access]
}

run "a_name_that_is_none" {
  command = plan
  variables {
    name           = "Trial_1"
    administrators = ["me"]
    services       = { min = 3, max = 2 }
    gpus           = { per_node = 0 }
    workers        = { max = -1 }
  }
  expect_failures = [var.name, var.administrators, var.services, var.gpus, var.workers]
}
