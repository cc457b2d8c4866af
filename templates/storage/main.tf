# The buckets and the repository that build.sh, run.sh and the schedule need; the commands of README.md, part 2, make the same by hand.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50" # as in ../schedule
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

variable "project" {
  description = "Project that owns them."
  type        = string
}

variable "region" {
  description = "Region of the jobs."
  type        = string
}

variable "bucket" {
  description = "Bucket for staged and temporary files, and for data of yours, without gs://."
  type        = string
}

variable "specs" {
  description = "Bucket for image specs, which the workers cannot write to, without gs://."
  type        = string
}

variable "repository" {
  description = "Artifact Registry repository for the image."
  type        = string
  default     = "clipscout"
}

variable "labels" {
  description = "Labels for the bill."
  type        = map(string)
  default     = {}
}

variable "kms_key" {
  description = "Key that encrypts them, as projects/P/locations/REGION/keyRings/R/cryptoKeys/K; null for Google's own."
  type        = string
  default     = null
}

variable "kept_days" {
  description = "After so many days staged and temporary files are deleted."
  type        = number
  default     = 14
}

resource "google_storage_bucket" "work" {
  project                     = var.project
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = var.kept_days
      matches_prefix = ["tmp/", "staging/"]
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_storage_bucket" "specs" {
  project                     = var.project
  name                        = var.specs
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  versioning {
    enabled = true
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_artifact_registry_repository" "image" {
  project       = var.project
  location      = var.region
  repository_id = var.repository
  format        = "DOCKER"
  description   = "Images of Clipscout."
  labels        = var.labels
  kms_key_name  = var.kms_key
}
