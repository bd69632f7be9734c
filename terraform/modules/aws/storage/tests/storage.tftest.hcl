# Computed attributes are made up while planning, so that nothing is applied.
mock_provider "aws" {
  source          = "../mocks"
  override_during = plan
}

variables {
  name              = "trial"
  identity          = { provider = "arn:aws:iam::123456789012:oidc-provider/made", issuer = "oidc.made" }
  accounts          = ["headrace:headrace-step"]
  database_password = "0123456789abcdefghij"
  vpc               = { id = "vpc-made", cidr = "10.1.0.0/16", subnets = ["subnet-1", "subnet-2"] }
}

run "what_the_site_is_told" {
  command = plan
  assert {
    condition     = output.store == { url = "s3://made/site", region = "eu-central-1" }
    error_message = "The store's URL has the bucket and the prefix."
  }
  assert {
    condition     = output.databases["mlflow"].secret == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made"
    error_message = "The database is known by its secret."
  }
}

run "steps_have_their_part_of_the_bucket" {
  command = plan
  variables {
    prefix = "teams/one"
  }
  assert {
    condition = toset(flatten([for one in jsondecode(module.role.policy).Statement : one.Resource])) == toset([
      "arn:aws:s3:::made", "arn:aws:s3:::made/teams/one/*"
    ])
    error_message = "Their role is for objects below the prefix."
  }
  assert {
    condition = jsondecode(module.role.trust).Statement[0].Condition.StringEquals["oidc.made:sub"] == [
      "system:serviceaccount:headrace:headrace-step"
    ]
    error_message = "Only the account of steps has it."
  }
}

run "nothing_is_lost_by_mistake" {
  command = plan
  variables {
    databases = { mlflow = {}, kfp = { standby = false } }
  }
  assert {
    condition     = !aws_s3_bucket.site.force_destroy && alltrue([for one in aws_db_instance.this : one.deletion_protection && !one.skip_final_snapshot])
    error_message = "What holds data refuses to be destroyed."
  }
  assert {
    condition     = { for purpose, one in aws_db_instance.this : purpose => "${one.engine} ${one.multi_az}" } == { mlflow = "postgres true", kfp = "mysql false" }
    error_message = "MLflow has PostgreSQL, Kubeflow Pipelines MySQL."
  }
  assert {
    condition     = alltrue([for one in aws_db_instance.this : one.password == null && !one.publicly_accessible && one.storage_encrypted])
    error_message = "No password is in the state, and no database on the internet."
  }
}

run "a_trial_goes_as_it_came" {
  command = plan
  variables {
    protected = false
  }
  assert {
    condition     = aws_s3_bucket.site.force_destroy && aws_db_instance.this["mlflow"].skip_final_snapshot
    error_message = "Without protection everything is destroyed."
  }
}

run "names_that_are_none" {
  command = plan
  variables {
    bucket    = "No"
    prefix    = "/site/"
    keep_days = 0
    databases = { airflow = {} }

    database_password = "in short"
  }
  expect_failures = [var.bucket, var.prefix, var.keep_days, var.databases, var.database_password]
}
