# What nobody looks at must say by itself that it went wrong: a run that failed, a launch that was refused, a run that is missing.

resource "google_monitoring_alert_policy" "failed" {
  count = var.alerts ? 1 : 0

  project               = var.project
  display_name          = "${var.name}: a run failed"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "the job failed"

    condition_threshold {
      filter          = "resource.type = \"dataflow_job\" AND resource.labels.job_name = \"${var.name}\" AND metric.type = \"dataflow.googleapis.com/job/is_failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "templates/README.md, \"When something goes wrong\", tells where to look; the same command goes on from what is complete."
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "refused" {
  count = var.alerts ? 1 : 0

  project               = var.project
  display_name          = "${var.name}: a launch was refused"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "the schedule could not launch"

    condition_matched_log {
      filter = "resource.type = \"cloud_scheduler_job\" AND resource.labels.job_id = \"${var.name}\" AND severity >= ERROR"
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "missing" {
  count = var.alerts && var.missing_after_hours != null && !var.paused ? 1 : 0

  project               = var.project
  display_name          = "${var.name}: no run for ${coalesce(var.missing_after_hours, 0)} hours"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "no job of this name ran"

    condition_prometheus_query_language {
      query               = "absent_over_time(dataflow_googleapis_com:job_elapsed_time{monitored_resource=\"dataflow_job\", job_name=\"${var.name}\"}[${coalesce(var.missing_after_hours, 1)}h])"
      duration            = "0s"
      evaluation_interval = "600s"
    }
  }

  depends_on = [google_project_service.needed]
}
