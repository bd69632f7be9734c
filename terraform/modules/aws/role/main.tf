# An IAM role that pods have by their service account: no keys anywhere.

variable "name" {
  description = "The role's name."
  type        = string
}

variable "identity" {
  description = "Who vouches for the cluster's service accounts: ARN of the OpenID Connect provider, and its issuer without https://."
  type        = object({ provider = string, issuer = string })
}

variable "accounts" {
  description = "The service accounts that have the role, each as NAMESPACE:NAME."
  type        = list(string)
  validation {
    condition     = length(var.accounts) > 0 && alltrue([for one in var.accounts : can(regex("^[-a-z0-9]+:[-.a-z0-9]+$", one))])
    error_message = "accounts lists service accounts as NAMESPACE:NAME, one at least."
  }
}

variable "managed" {
  description = "ARNs of policies that the role has."
  type        = list(string)
  default     = []
}

variable "policy" {
  description = "Statements of the role's own policy; none means it has none."
  type        = any
  default     = []
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}

resource "aws_iam_role" "this" {
  name = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = var.identity.provider }
      Condition = {
        StringEquals = {
          "${var.identity.issuer}:aud" = "sts.amazonaws.com"
          "${var.identity.issuer}:sub" = [for one in var.accounts : "system:serviceaccount:${one}"]
        }
      }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "managed" {
  for_each   = toset(var.managed)
  role       = aws_iam_role.this.name
  policy_arn = each.value
}

resource "aws_iam_role_policy" "own" {
  count  = length(var.policy) > 0 ? 1 : 0
  name   = "own"
  role   = aws_iam_role.this.name
  policy = jsonencode({ Version = "2012-10-17", Statement = var.policy })
}

output "arn" {
  description = "ARN of the role, for the annotation eks.amazonaws.com/role-arn."
  value       = aws_iam_role.this.arn
  depends_on  = [aws_iam_role_policy.own, aws_iam_role_policy_attachment.managed]
}

output "trust" {
  description = "Who may have the role, as JSON."
  value       = aws_iam_role.this.assume_role_policy
}

output "policy" {
  description = "What the role itself may do, as JSON; empty if that is nothing."
  value       = one(aws_iam_role_policy.own[*].policy)
}
