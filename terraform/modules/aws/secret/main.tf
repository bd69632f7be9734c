# A Secret of the cluster with what Secrets Manager keeps. It goes from one to the other: neither
# the plan nor the state has it.

variable "name" {
  description = "Name of the Secret."
  type        = string
}

variable "namespace" {
  description = "Its namespace; it is made if it is not there."
  type        = string
}

variable "source_arn" {
  description = "ARN of the secret in Secrets Manager: a JSON object whose entries the Secret has."
  type        = string
}

variable "revision" {
  description = "Another number has the Secret written anew."
  type        = number
  default     = 1
}

variable "kubeconfig" {
  description = "The cluster: path of a kubeconfig, and the command that writes it."
  type        = object({ path = string, write = string })
}

resource "terraform_data" "secret" {
  triggers_replace = {
    name      = var.name
    namespace = var.namespace
    source    = var.source_arn
    revision  = var.revision
  }
  provisioner "local-exec" {
    interpreter = ["/bin/bash", "-e", "-o", "pipefail", "-c"]
    command     = <<-EOT
      eval "$WRITE"
      content=$(aws secretsmanager get-secret-value --secret-id "$SOURCE" --region "$REGION" --query SecretString --output text)
      kubectl create namespace "$NAMESPACE" --dry-run=client --output yaml | kubectl apply --filename -
      printf '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"%s","namespace":"%s"},"stringData":%s}' \
        "$NAME" "$NAMESPACE" "$content" | kubectl apply --filename -
    EOT
    environment = {
      KUBECONFIG = var.kubeconfig.path
      WRITE      = var.kubeconfig.write
      SOURCE     = var.source_arn
      REGION     = split(":", var.source_arn)[3]
      NAME       = var.name
      NAMESPACE  = var.namespace
    }
    quiet = true
  }
}

output "name" {
  description = "Name of the Secret, known once it is there."
  value       = var.name
  depends_on  = [terraform_data.secret]
}
