output "kubeconfig" {
  description = "How Helm reaches the cluster: path of a kubeconfig and the context in it, the command that writes it, and what the cluster is known by."
  value = {
    path    = var.kubeconfig
    context = var.name
    write   = local.write_kubeconfig
    cluster = aws_eks_cluster.this.endpoint
  }
  depends_on = [aws_eks_addon.this, aws_eks_access_policy_association.administrator]
}

output "identity" {
  description = "Who vouches for the cluster's service accounts, for roles of further ones."
  value       = local.identity
}

output "autoscaler_role" {
  description = "ARN of the role of the service account kube-system:cluster-autoscaler."
  value       = module.roles["autoscaler"].arn
}

output "vpc" {
  description = "Id of the network, its addresses and its private subnets, for databases and whatever else the cluster uses."
  value = {
    id      = aws_vpc.this.id
    cidr    = aws_vpc.this.cidr_block
    subnets = [for one in aws_subnet.private : one.id]
  }
}

output "gpu_tolerations" {
  description = "What pods with GPUs have to tolerate."
  value       = [{ key = local.gpu_taint.key, operator = "Exists", effect = "NoSchedule" }]
}

output "groups" {
  description = "The groups of nodes."
  value       = keys(aws_eks_node_group.this)
}
