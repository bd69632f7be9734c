variable "kubeconfig" {
  description = "Path of the kubeconfig that is written for Helm. It names the cluster and calls `aws eks get-token`; there is no credential in it."
  type        = string
  default     = ".kubeconfig"
}

locals {
  # Written anew before each use: the file may be gone, or another checkout's.
  write_kubeconfig = join(" ", [
    "aws eks update-kubeconfig --name ${var.name} --region ${data.aws_region.here.name}",
    "--alias ${var.name} --kubeconfig '${var.kubeconfig}' >/dev/null",
  ])
}
