variable "name" {
  description = "Beginning of the names of all that is made here."
  type        = string
  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "The name has up to 40 small letters, digits and dashes, and begins with a letter."
  }
}

variable "bucket" {
  description = "Name of the bucket; without one, AWS makes one up that begins with `name`."
  type        = string
  default     = null
  validation {
    condition     = var.bucket == null || can(regex("^[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 small letters, digits, dots and dashes."
  }
}

variable "prefix" {
  description = "Where in the bucket the site's objects lie."
  type        = string
  default     = "site"
  validation {
    condition     = can(regex("^[-a-zA-Z0-9_]+(/[-a-zA-Z0-9_]+)*$", var.prefix))
    error_message = "The prefix is a path such as site or teams/one, without a slash at its ends."
  }
}

variable "identity" {
  description = "Who vouches for the cluster's service accounts."
  type        = object({ provider = string, issuer = string })
}

variable "accounts" {
  description = "The service accounts that read and write the bucket, each as NAMESPACE:NAME."
  type        = list(string)
}

variable "keep_days" {
  description = "Days for which what was overwritten or deleted can be brought back."
  type        = number
  default     = 30
  validation {
    condition     = var.keep_days >= 1
    error_message = "keep_days is 1 or more."
  }
}

variable "vpc" {
  description = "The network of the databases: its id, the addresses that may reach them, and subnets."
  type        = object({ id = string, cidr = string, subnets = list(string) })
}

variable "databases" {
  description = "The databases, by what they are for: mlflow is PostgreSQL, kfp is MySQL. Leave one out where there is one already."
  type = map(object({
    class    = optional(string, "db.t4g.medium")
    disk_gib = optional(number, 50)
    standby  = optional(bool, true)
  }))
  default = { mlflow = {} }
  validation {
    condition     = alltrue([for purpose in keys(var.databases) : contains(["mlflow", "kfp"], purpose)])
    error_message = "databases has the keys mlflow and kfp."
  }
}

variable "protected" {
  description = "Whether `terraform destroy` refuses to remove databases and a bucket that has objects."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}

variable "database_password" {
  description = "Password of the databases. Terraform keeps it nowhere, and looks at it only when the databases are made and when database_password_version has changed."
  type        = string
  ephemeral   = true
  validation {
    condition     = can(regex("^[A-Za-z0-9]{20,40}$", var.database_password))
    error_message = "The password has 20 to 40 letters and digits: export TF_VAR_database_password=$(openssl rand -hex 20)"
  }
}

variable "database_password_version" {
  description = "Raise it to give the databases another password."
  type        = number
  default     = 1
}
