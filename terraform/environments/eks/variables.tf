variable "region" {
  description = "AWS's region."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region has a name such as eu-central-1."
  }
}

variable "name" {
  description = "Name of the cluster, and the beginning of all other names."
  type        = string
  default     = "headrace"
}

variable "cluster" {
  description = "What the module modules/aws/cluster is told: kubernetes_version, network, public_access, administrators, services, workers, gpus."
  type = object({
    kubernetes_version = optional(string, "1.34")
    network            = optional(any, {})
    public_access      = optional(list(string), [])
    administrators     = optional(list(string), [])
    services           = optional(any, {})
    workers            = optional(any, {})
    gpus               = optional(any, {})
  })
  default = {}
}

variable "inside" {
  description = "Whether Terraform runs where it reaches the cluster's network, so that the API server need not be on the internet."
  type        = bool
  default     = false
  validation {
    condition     = var.inside || length(var.cluster.public_access) > 0
    error_message = "Helm has to reach the API server: say from which addresses, cluster = { public_access = [\"203.0.113.7/32\"] }, or that it does from inside, inside = true."
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

variable "namespace" {
  description = "Namespace of the site; one namespace is one site."
  type        = string
  default     = "headrace"
}

variable "chart" {
  description = "The chart: this repository's, or an archive or oci://… of it."
  type        = string
  default     = ""
}

variable "images" {
  description = "Path of the file in which images/build.py has written the images and what they hold."
  type        = string
  validation {
    condition     = can(yamldecode(file(var.images)).images.python)
    error_message = "images is the path of a file that images/build.py wrote: `python3 images/build.py --help`."
  }
}

variable "values" {
  description = "More of the chart's values, which win over what is said here."
  type        = any
  default     = {}
}

variable "database_password" {
  description = "Password of the database. Terraform keeps it nowhere, and looks at it only when the database is made and when database_password_version has changed."
  type        = string
  ephemeral   = true
}

variable "database_password_version" {
  description = "Raise it to give the database another password."
  type        = number
  default     = 1
}
