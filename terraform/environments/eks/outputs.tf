output "site" {
  description = "What people say to use it: headrace run PIPELINE --on CONTEXT --namespace NAMESPACE."
  value       = { context = var.name, namespace = module.headrace.namespace }
}

output "kubeconfig" {
  description = "Path of the kubeconfig that was written for Helm; it has no credential."
  value       = module.cluster.kubeconfig.path
}

output "store" {
  description = "The site's object store."
  value       = module.storage.store.url
}

output "values" {
  description = "The chart's values, as YAML documents of which a later one wins."
  value       = module.headrace.values
}

output "accounts" {
  description = "The service accounts that have the store, each as NAMESPACE:NAME."
  value       = [for one in local.accounts : "${var.namespace}:${one}"]
}
