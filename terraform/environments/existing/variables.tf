variable "kubeconfig" {
  description = "The cluster: path of a kubeconfig and a context in it. Empty ones mean kubectl's own."
  type = object({
    path    = optional(string, "")
    context = optional(string, "")
  })
  default = {}
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

variable "store" {
  description = "The object store: bucket and prefix; the service as pods reach it, empty for AWS's own; as people's machines reach it, unless it is the same; the Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
  type = object({
    url             = string
    endpoint        = optional(string, "")
    client_endpoint = optional(string, "")
    region          = optional(string, "us-east-1")
    secret          = string
  })
  validation {
    condition     = can(regex("^s3://[^/]+", var.store.url))
    error_message = "store.url is a bucket and prefix such as s3://headrace/site."
  }
  validation {
    condition     = var.store.endpoint == "" || can(regex("^https?://[^/]+/?$", var.store.endpoint))
    error_message = "store.endpoint is a URL such as http://minio.storage:9000."
  }
}

variable "mlflow_database_secret" {
  description = "The Secret whose key `url` is the URL of MLflow's database; without it, MLflow has a SQLite file on a volume."
  type        = string
  default     = ""
}

variable "values" {
  description = "More of the chart's values, which win over what is said here."
  type        = any
  default     = {}
}
