data "aws_region" "here" {}

output "store" {
  description = "The site's object store: its URL and region."
  value       = { url = "s3://${aws_s3_bucket.site.id}/${var.prefix}", region = data.aws_region.here.name }
  depends_on  = [aws_s3_bucket_policy.site, aws_s3_bucket_versioning.site]
}

output "role" {
  description = "ARN of the role by which service accounts read and write the store."
  value       = module.role.arn
}

output "databases" {
  description = "The databases, by what they are for: host, port, and ARN of the secret in Secrets Manager that says the rest."
  value = {
    for purpose, one in aws_db_instance.this : purpose => {
      host   = one.address
      port   = one.port
      secret = aws_secretsmanager_secret_version.database[purpose].arn
    }
  }
}
