# One Helm release. Helm itself does the work: what is seen here is what `helm list` sees, a failed
# upgrade is rolled back by Helm, and `helm rollback` stays possible.

locals {
  chart_digest = (
    var.repository == "" && fileexists("${var.chart}/Chart.yaml")
    ? sha256(join("", [for file in sort(fileset(var.chart, "**")) : filesha256("${var.chart}/${file}")]))
    : ""
  )
  where = compact([
    "--namespace=${var.namespace}",
    var.kubeconfig.path == "" ? "" : "--kubeconfig=${var.kubeconfig.path}",
    var.kubeconfig.context == "" ? "" : "--kube-context=${var.kubeconfig.context}",
  ])
  from = compact([
    var.repository == "" ? "" : "--repo=${var.repository}",
    var.chart_version == "" ? "" : "--version=${var.chart_version}",
  ])
}

# What is uninstalled at the end. It changes only where another release has to come about: where the
# kubeconfig lies is nobody's business but Helm's.
resource "terraform_data" "release" {
  triggers_replace = { name = var.name, namespace = var.namespace, cluster = var.kubeconfig.cluster }
  input            = { where = join(" ", local.where), write = var.kubeconfig.write }

  provisioner "local-exec" {
    when    = destroy
    command = "${self.output.write} && helm uninstall ${self.triggers_replace.name} ${self.output.where} --ignore-not-found --wait"
  }
}

resource "terraform_data" "revision" {
  triggers_replace = {
    release = terraform_data.release.id
    chart   = join(" ", concat([var.chart], local.from))
    digest  = local.chart_digest
    values  = join("\n---\n", var.values)
  }

  provisioner "local-exec" {
    interpreter = ["/bin/bash", "-o", "pipefail", "-c"]
    command = join(" ", concat(
      ["${var.kubeconfig.write} && helm upgrade ${var.name} '${var.chart}' --install --create-namespace"],
      local.from, local.where,
      [for index, _ in var.values : "--values <(printf '%s' \"$VALUES_${index}\")"],
      ["--rollback-on-failure --wait --timeout=${var.timeout}"],
    ))
    environment = { for index, one in var.values : "VALUES_${index}" => one }
    quiet       = true
  }
}
