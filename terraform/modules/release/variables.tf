variable "name" {
  description = "Name of the release."
  type        = string
  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$", var.name))
    error_message = "A release's name has up to 53 small letters, digits and dashes, and begins with a letter."
  }
}

variable "namespace" {
  description = "Namespace of the release; it is made if it is not there."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "A namespace has up to 63 small letters, digits and dashes."
  }
}

variable "chart" {
  description = "The chart: a folder, an archive, oci://… or, with a repository, its name there."
  type        = string
}

variable "repository" {
  description = "URL of the repository the chart comes from; empty for a folder, an archive or oci://."
  type        = string
  default     = ""
}

variable "chart_version" {
  description = "Version of a chart that comes from a repository or registry."
  type        = string
  default     = ""
  validation {
    condition     = var.repository == "" || var.chart_version != ""
    error_message = "Say which version of the chart: what a repository calls the newest changes under your feet."
  }
}

variable "values" {
  description = "The chart's values, as YAML documents; a later one wins. Nothing in them is secret: they are kept in the state."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for one in var.values : can(keys(yamldecode(one)))])
    error_message = "values lists YAML documents, each a mapping; see yamlencode() and file()."
  }
}

variable "kubeconfig" {
  description = "The cluster: path of a kubeconfig and a context in it, empty ones meaning kubectl's own; the command that writes the file, run before Helm each time; and what the cluster is known by, so that another one is another release."
  type = object({
    path    = optional(string, "")
    context = optional(string, "")
    write   = optional(string, "true")
    cluster = optional(string, "")
  })
  default = {}
}

variable "timeout" {
  description = "How long the release may take until all of it is ready, such as 10m."
  type        = string
  default     = "10m"
  validation {
    condition     = can(regex("^([0-9]+[hms])+$", var.timeout))
    error_message = "Write a time such as 90s, 10m or 1h30m."
  }
}
