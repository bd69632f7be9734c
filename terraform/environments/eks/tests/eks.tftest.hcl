# Computed attributes are made up while planning, so that nothing is applied and no command runs.
mock_provider "aws" {
  source          = "../../modules/aws/mocks"
  override_during = plan
}

variables {
  region            = "eu-central-1"
  images            = "../../../helm/headrace/ci/minimal-values.yaml"
  database_password = "0123456789abcdefghij"
  inside            = true
}

run "a_site_without_keys" {
  command = plan
  assert {
    condition = yamldecode(output.values[1]) == {
      store = { url = "s3://made/site", region = "eu-central-1" }
      serviceAccount = {
        name        = "headrace-step"
        annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/made" }
      }
      mlflow = { database = { existingSecret = "mlflow-database", revision = "1" } }
    }
    error_message = "The chart is told of the bucket, the role and the database."
  }
}

run "what_is_said_of_the_cluster_arrives_there" {
  command = plan
  variables {
    cluster = { gpus = { max = 0 }, network = { zones = 3 } }
  }
  assert {
    condition     = toset(module.cluster.groups) == toset(["services", "workers"])
    error_message = "Without GPUs there is no group for them."
  }
  assert {
    condition     = length(module.cluster.vpc.subnets) == 3
    error_message = "The network lies in as many zones as it is told to."
  }
}

run "mistakes" {
  command = plan
  variables {
    region = "Frankfurt"
    inside = false
    images = "../../../helm/headrace/values.yaml"
  }
  expect_failures = [var.region, var.images, var.inside]
}
