variable "kubeconfig" {
  description = "Path of the kubeconfig that is written for Helm. It names the cluster and calls `aws eks get-token`; there is no credential in it."
  type        = string
  default     = ".kubeconfig"
}

resource "terraform_data" "kubeconfig" {
  triggers_replace = {
    endpoint = aws_eks_cluster.this.endpoint
    path     = var.kubeconfig
  }
  provisioner "local-exec" {
    command = join(" ", [
      "aws eks update-kubeconfig --name ${var.name} --region ${data.aws_region.here.name}",
      "--alias ${var.name} --kubeconfig '${var.kubeconfig}'",
    ])
    quiet = true
  }
  depends_on = [aws_eks_node_group.this, aws_eks_access_policy_association.administrator]
}
