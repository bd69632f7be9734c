variables {
  images = "../../../helm/headrace/ci/minimal-values.yaml"
  store  = { url = "s3://headrace/site", secret = "keys", endpoint = "http://minio.storage:9000" }
}

run "what_the_chart_is_told" {
  command = plan
  variables {
    mlflow_database_secret = "database"
    values                 = { kfp = { url = "http://ml-pipeline.kubeflow:8888" } }
  }
  assert {
    condition = [for one in slice(output.values, 1, 3) : yamldecode(one)] == [
      {
        store = {
          url            = "s3://headrace/site"
          endpoint       = "http://minio.storage:9000"
          clientEndpoint = ""
          region         = "us-east-1"
          existingSecret = "keys"
        }
        mlflow = { database = { existingSecret = "database" }, persistence = { enabled = false } }
      },
      { kfp = { url = "http://ml-pipeline.kubeflow:8888" } },
    ]
    error_message = "What is said here arrives in the chart's values."
  }
}

run "without_a_database" {
  command = plan
  assert {
    condition     = yamldecode(output.values[1]).mlflow.persistence.enabled
    error_message = "Then MLflow's own is on a volume."
  }
}

run "mistakes" {
  command = plan
  variables {
    images = "../../../helm/headrace/values.yaml"
    store  = { url = "headrace/site", secret = "keys", endpoint = "minio:9000" }
  }
  expect_failures = [var.images, var.store]
}
