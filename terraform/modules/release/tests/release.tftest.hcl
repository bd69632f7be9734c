variables {
  name      = "headrace"
  namespace = "ml"
  chart     = "./chart"
}

run "what_helm_is_asked_for" {
  command = plan
  variables {
    repository    = "https://charts.example.com"
    chart_version = "1.2.3"
    kubeconfig    = { path = "/tmp/config", context = "one", cluster = "arn:one" }
  }
  assert {
    condition     = terraform_data.revision.triggers_replace.chart == "./chart --repo=https://charts.example.com --version=1.2.3"
    error_message = "Another version is another revision."
  }
  assert {
    condition     = terraform_data.release.input.where == "--namespace=ml --kubeconfig=/tmp/config --kube-context=one"
    error_message = "Helm is told of the cluster."
  }
  assert {
    condition     = terraform_data.release.triggers_replace == { name = "headrace", namespace = "ml", cluster = "arn:one" }
    error_message = "Another cluster is another release; another path of the kubeconfig is not."
  }
}

run "values_that_are_none" {
  command = plan
  variables {
    values = ["a: 1", "[1, 2]"]
  }
  expect_failures = [var.values]
}

run "no_version" {
  command = plan
  variables {
    repository = "https://charts.example.com"
  }
  expect_failures = [var.chart_version]
}

run "names_that_are_none" {
  command = plan
  variables {
    name      = "Headrace"
    namespace = "m_l"
    timeout   = "ten minutes"
  }
  expect_failures = [var.name, var.namespace, var.timeout]
}
