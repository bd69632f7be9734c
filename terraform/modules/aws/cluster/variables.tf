variable "name" {
  description = "Name of the cluster and of all that belongs to it."
  type        = string
  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "A cluster's name has up to 40 small letters, digits and dashes, and begins with a letter."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes' minor version."
  type        = string
  default     = "1.34"
  validation {
    condition     = can(regex("^1\\.[0-9]+$", var.kubernetes_version)) && try(tonumber(split(".", var.kubernetes_version)[1]) >= 33, false)
    error_message = "Write a minor version such as 1.34; Headrace's chart needs 1.33 or later."
  }
}

variable "network" {
  description = "Addresses of the network, and in how many availability zones it lies."
  type = object({
    cidr  = optional(string, "10.20.0.0/16")
    zones = optional(number, 2)
  })
  default = {}
  validation {
    condition     = can(cidrsubnet(var.network.cidr, 4, 15))
    error_message = "network.cidr is no block of IPv4 addresses that 16 subnets fit into, such as 10.20.0.0/16."
  }
  validation {
    condition     = contains([2, 3, 4], var.network.zones)
    error_message = "network.zones is 2, 3 or 4: EKS asks for two at least."
  }
}

variable "public_access" {
  description = "Blocks of addresses from which the API server is reached over the internet; none keeps it inside."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for one in var.public_access : can(cidrhost(one, 0))])
    error_message = "public_access lists blocks of addresses, such as 203.0.113.0/24."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles and users who administer the cluster, beside whoever makes it."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for one in var.administrators : can(regex("^arn:aws[-a-z]*:iam::[0-9]{12}:(role|user)/.+$", one))])
    error_message = "administrators lists ARNs such as arn:aws:iam::123456789012:role/platform."
  }
}

variable "services" {
  description = "Nodes that are always there: for MLflow, Kubeflow Pipelines, served models and small steps."
  type = object({
    instance_types = optional(list(string), ["m7i.xlarge", "m7a.xlarge"])
    min            = optional(number, 2)
    max            = optional(number, 6)
    disk_gib       = optional(number, 100)
  })
  default = {}
  validation {
    condition     = var.services.min >= 1 && var.services.max >= var.services.min
    error_message = "services: min is 1 or more, and max no less than min."
  }
}

variable "workers" {
  description = "Nodes for Spark's executors and for training without GPUs: none while nothing runs."
  type = object({
    instance_types = optional(list(string), ["r7i.2xlarge", "r7a.2xlarge", "r6i.2xlarge"])
    max            = optional(number, 10)
    disk_gib       = optional(number, 200)
    spot           = optional(bool, true)
  })
  default = {}
  validation {
    condition     = var.workers.max >= 0
    error_message = "workers.max is 0 or more."
  }
}

variable "gpus" {
  description = "Nodes with NVIDIA GPUs for training: none while nothing trains. With max = 0 there are never any."
  type = object({
    instance_types = optional(list(string), ["g6.2xlarge", "g5.2xlarge"])
    per_node       = optional(number, 1)
    max            = optional(number, 4)
    disk_gib       = optional(number, 200)
    spot           = optional(bool, true)
  })
  default = {}
  validation {
    condition     = var.gpus.max >= 0 && var.gpus.per_node >= 1
    error_message = "gpus: max is 0 or more, and per_node 1 or more."
  }
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
