# The databases of MLflow and of Kubeflow Pipelines. Their password goes to Secrets Manager, from
# where the cluster gets it; neither the plan nor the state has it.

locals {
  # The metadata store of Kubeflow Pipelines knows MySQL's older way to log in only.
  engines = {
    mlflow = { engine = "postgres", version = "17", port = 5432, settings = { "rds.force_ssl" = "1" }, family = "postgres17" }
    kfp    = { engine = "mysql", version = "8.4", port = 3306, settings = { authentication_policy = "mysql_native_password" }, family = "mysql8.4" }
  }
  wanted = { for purpose, one in var.databases : purpose => merge(one, local.engines[purpose]) }
}

resource "aws_db_subnet_group" "this" {
  count      = length(local.wanted) > 0 ? 1 : 0
  name       = var.name
  subnet_ids = var.vpc.subnets
  tags       = var.tags
}

resource "aws_security_group" "database" {
  for_each    = local.wanted
  name        = "${var.name}-${each.key}"
  description = "The database of ${each.key}: from inside of the network alone"
  vpc_id      = var.vpc.id
  ingress {
    from_port   = each.value.port
    to_port     = each.value.port
    protocol    = "tcp"
    cidr_blocks = [var.vpc.cidr]
  }
  tags = var.tags
}

resource "aws_db_parameter_group" "this" {
  for_each = local.wanted
  name     = "${var.name}-${each.key}"
  family   = each.value.family
  dynamic "parameter" {
    for_each = each.value.settings
    content {
      name  = parameter.key
      value = parameter.value
    }
  }
  tags = var.tags
}

resource "aws_db_instance" "this" {
  for_each                  = local.wanted
  identifier                = "${var.name}-${each.key}"
  engine                    = each.value.engine
  engine_version            = each.value.version
  parameter_group_name      = aws_db_parameter_group.this[each.key].name
  instance_class            = each.value.class
  allocated_storage         = each.value.disk_gib
  max_allocated_storage     = each.value.disk_gib * 10
  storage_type              = "gp3"
  storage_encrypted         = true
  multi_az                  = each.value.standby
  db_name                   = each.key
  username                  = "headrace"
  password_wo               = var.database_password
  password_wo_version       = var.database_password_version
  db_subnet_group_name      = aws_db_subnet_group.this[0].name
  vpc_security_group_ids    = [aws_security_group.database[each.key].id]
  publicly_accessible       = false
  backup_retention_period   = 14
  copy_tags_to_snapshot     = true
  deletion_protection       = var.protected
  skip_final_snapshot       = !var.protected
  final_snapshot_identifier = var.protected ? "${var.name}-${each.key}-last" : null
  apply_immediately         = true
  tags                      = var.tags
}

resource "aws_secretsmanager_secret" "database" {
  for_each                = local.wanted
  name_prefix             = "${var.name}-${each.key}-"
  description             = "How the database of ${each.key} is reached"
  recovery_window_in_days = var.protected ? 30 : 0
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "database" {
  for_each  = local.wanted
  secret_id = aws_secretsmanager_secret.database[each.key].id
  secret_string_wo = jsonencode(
    each.value.engine == "postgres" ? {
      url = join("", [
        "postgresql://headrace:${var.database_password}",
        "@${aws_db_instance.this[each.key].endpoint}/${each.key}?sslmode=require",
      ])
      } : {
      username = "headrace"
      password = var.database_password
    }
  )
  secret_string_wo_version = var.database_password_version
}
