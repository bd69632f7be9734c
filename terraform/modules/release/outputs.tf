output "name" {
  description = "Name of the release, known once it is ready."
  value       = var.name
  depends_on  = [terraform_data.revision]
}

output "namespace" {
  description = "Its namespace."
  value       = var.namespace
  depends_on  = [terraform_data.revision]
}

output "values" {
  description = "The values that it was given, as YAML documents of which a later one wins."
  value       = var.values
}
