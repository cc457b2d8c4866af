variable "project" {
  description = "Project that runs the jobs."
  type        = string
}

variable "region" {
  description = "Region of the jobs, the schedule and the repository."
  type        = string
}

variable "name" {
  description = "Name of the job, and the beginning of the names of what is made here. Schedules of one project need different ones."
  type        = string
  default     = "clipscout"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$", var.name))
    error_message = "Up to 22 of a-z, 0-9 and -, a letter first."
  }
}

variable "template" {
  description = "Image spec that build.sh wrote: gs://SPECS/templates/clipscout.json, or that of one version."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+/.+$", var.template))
    error_message = "A file on gs://."
  }
}

variable "repository" {
  description = "Artifact Registry repository that holds the image."
  type        = string
}

variable "bucket" {
  description = "Bucket for staged and temporary files, without gs://."
  type        = string
}

variable "data_buckets" {
  description = "Other buckets that the job reads from or writes to: queries, videos of your own, classifiers, the output. Without gs://."
  type        = set(string)
  default     = []
}

variable "secrets" {
  description = "Secrets of Secret Manager that the job reads: cookies, a proxy."
  type        = set(string)
  default     = []
}

variable "parameters" {
  description = "Options of Clipscout, all as text. {date} in input, output and exclude is the day of the run."
  type        = map(string)

  validation {
    condition     = alltrue([for name in ["input", "output"] : contains(keys(var.parameters), name)])
    error_message = "The options input and output are needed."
  }

  validation {
    condition = alltrue([
      for name in keys(var.parameters) :
      contains(jsondecode(file("${path.module}/../metadata.json")).parameters[*].name, name)
    ])
    error_message = "Every name has to be a parameter in templates/metadata.json."
  }
}

variable "schedule" {
  description = "When to launch, as five fields of cron."
  type        = string
  default     = "0 3 * * *"
}

variable "time_zone" {
  description = "Time zone of the schedule. {date} is the day in UTC, or in this zone where use_workflow is set."
  type        = string
  default     = "Etc/UTC"
}

variable "paused" {
  description = "Stop launching, and keep everything."
  type        = bool
  default     = false
}

variable "max_workers" {
  description = "Most workers of a job."
  type        = number
  default     = 10
}

variable "machine_type" {
  description = "Machine type of the workers; null for what follows from the options."
  type        = string
  default     = null
}

variable "disk_gb" {
  description = "Disk of each worker; null for what follows from the options."
  type        = number
  default     = null
}

variable "launcher_machine_type" {
  description = "Machine type of the launcher; null for Dataflow's own. The launcher loads the classifier once, to try it."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the jobs and alerts, for the bill."
  type        = map(string)
  default     = {}
}

variable "kms_key" {
  description = "Key that encrypts what jobs keep, as projects/P/locations/REGION/keyRings/R/cryptoKeys/K; null for Google's own."
  type        = string
  default     = null
}

variable "experiments" {
  description = "Experiments of Dataflow, e.g. [\"use_runner_v2\"]."
  type        = list(string)
  default     = []
}

variable "service_options" {
  description = "Service options of Dataflow, e.g. [\"enable_prime\"]."
  type        = list(string)
  default     = []
}

variable "alerts" {
  description = "Make alert policies for runs that fail, launches that are refused and runs that are missing."
  type        = bool
  default     = true
}

variable "notification_channels" {
  description = "Who is told by the alerts: names of notification channels, projects/P/notificationChannels/ID."
  type        = list(string)
  default     = []
}

variable "missing_after_hours" {
  description = "Tell when no job ran for so many hours, up to 25; null not to, as for a schedule that is not daily."
  type        = number
  default     = 25

  validation {
    condition     = var.missing_after_hours == null ? true : var.missing_after_hours >= 1 && var.missing_after_hours <= 25
    error_message = "From 1 to 25: an alert looks back no further."
  }
}

variable "subnetwork" {
  description = "regions/REGION/subnetworks/NAME; empty for the network default."
  type        = string
  default     = ""
}

variable "private" {
  description = "No public addresses. Downloads from the web then need a Cloud NAT, and the subnetwork Private Google Access."
  type        = bool
  default     = false
}

variable "use_workflow" {
  description = "Launch through a workflow that waits for the end of the job and fails when the job does."
  type        = bool
  default     = false
}

variable "poll_seconds" {
  description = "How often the workflow looks at the job."
  type        = number
  default     = 120
}
