output "site" {
  description = "What people say to use it: headrace run PIPELINE --on CONTEXT --namespace NAMESPACE."
  value       = { context = var.kubeconfig.context, namespace = module.headrace.namespace }
}

output "values" {
  description = "The chart's values, as YAML documents of which a later one wins."
  value       = module.headrace.values
}
