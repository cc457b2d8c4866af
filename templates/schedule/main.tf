locals {
  # Without it a night in which all but one video fails would be green.
  parameters = merge({ max_failure_ratio = "0.5" }, var.parameters)

  # The one launch body: the schedule sends it to Dataflow, or hands it to the workflow that does.
  launch = templatefile("${path.module}/launch.json.tftpl", {
    # A fixed name is the lock: while a job runs, Dataflow refuses another one of its name (409), so runs cannot overlap.
    job_name         = var.name
    template         = var.template
    parameters       = local.parameters
    max_workers      = var.max_workers
    machine_type     = var.machine_type
    disk_gb          = var.disk_gb
    launcher         = var.launcher_machine_type
    labels           = var.labels
    kms_key          = var.kms_key
    experiments      = var.experiments
    more             = [for option in var.service_options : "dataflow_service_options=${option}"]
    worker           = google_service_account.worker.email
    bucket           = var.bucket
    subnetwork       = var.subnetwork
    ip_configuration = var.private ? "WORKER_IP_PRIVATE" : "WORKER_IP_UNSPECIFIED"
  })
  launch_uri = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"

  execution = jsonencode({
    argument = jsonencode({
      project      = var.project
      region       = var.region
      time_zone    = var.time_zone
      poll_seconds = var.poll_seconds
      launch       = jsondecode(local.launch)
    })
  })
  execution_uri = "https://workflowexecutions.googleapis.com/v1/projects/${var.project}/locations/${var.region}/workflows/${var.name}/executions"

  template_bucket = split("/", var.template)[2]
  services = concat(
    ["artifactregistry.googleapis.com", "cloudscheduler.googleapis.com", "compute.googleapis.com", "dataflow.googleapis.com", "iam.googleapis.com"],
    var.alerts ? ["monitoring.googleapis.com"] : [],
    length(var.secrets) > 0 ? ["secretmanager.googleapis.com"] : [],
    var.use_workflow ? ["workflows.googleapis.com", "workflowexecutions.googleapis.com"] : []
  )
}

resource "google_project_service" "needed" {
  for_each = toset(local.services)

  project            = var.project
  service            = each.key
  disable_on_destroy = false
}

# Workers: what the launcher and the workers of a job run as.

resource "google_service_account" "worker" {
  project      = var.project
  account_id   = "${var.name}-worker"
  display_name = "Workers of the scheduled job ${var.name}"
}

resource "google_project_iam_member" "worker_runs_jobs" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "worker_uses_buckets" {
  for_each = setunion(var.data_buckets, [var.bucket])

  bucket = each.key
  role   = "roles/storage.objectAdmin"
  member = google_service_account.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker_pulls_image" {
  project    = var.project
  location   = var.region
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

resource "google_secret_manager_secret_iam_member" "worker_reads_secrets" {
  for_each = var.secrets

  project   = var.project
  secret_id = each.key
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.worker.member
}

# Invoker: what the schedule and the workflow launch as. It may start jobs as the workers' account, and reads the image spec.

resource "google_service_account" "invoker" {
  project      = var.project
  account_id   = "${var.name}-invoker"
  display_name = "Launches the scheduled job ${var.name}"
}

resource "google_project_iam_member" "invoker_launches_jobs" {
  project = var.project
  role    = "roles/dataflow.developer"
  member  = google_service_account.invoker.member
}

resource "google_project_iam_member" "invoker_sees_machine_types" {
  project = var.project
  role    = "roles/compute.viewer"
  member  = google_service_account.invoker.member
}

resource "google_service_account_iam_member" "invoker_acts_as_worker" {
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.invoker.member
}

resource "google_storage_bucket_iam_member" "invoker_reads_spec" {
  bucket = local.template_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.invoker.member
}

resource "google_project_iam_member" "invoker_starts_workflow" {
  for_each = var.use_workflow ? toset(["roles/workflows.invoker", "roles/logging.logWriter"]) : toset([])

  project = var.project
  role    = each.key
  member  = google_service_account.invoker.member
}

resource "google_workflows_workflow" "launch" {
  count = var.use_workflow ? 1 : 0

  project             = var.project
  region              = var.region
  name                = var.name
  description         = "Launches the job, waits for its end and fails when it does."
  service_account     = google_service_account.invoker.id
  call_log_level      = "LOG_ERRORS_ONLY"
  deletion_protection = false
  source_contents     = file("${path.module}/workflow.yaml")

  depends_on = [google_project_service.needed]
}

resource "google_cloud_scheduler_job" "launch" {
  project          = var.project
  region           = var.region
  name             = var.name
  description      = "Launches Clipscout's template."
  schedule         = var.schedule
  time_zone        = var.time_zone
  paused           = var.paused
  attempt_deadline = "180s"

  # A launch that is refused because the last job still runs, or that Dataflow cannot take now, is tried again for half an hour.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "300s"
    max_backoff_duration = "900s"
    max_doublings        = 2
  }

  http_target {
    http_method = "POST"
    uri         = var.use_workflow ? local.execution_uri : local.launch_uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(var.use_workflow ? local.execution : local.launch)

    oauth_token {
      service_account_email = google_service_account.invoker.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [
    google_project_service.needed,
    google_project_iam_member.invoker_launches_jobs,
    google_project_iam_member.invoker_sees_machine_types,
    google_service_account_iam_member.invoker_acts_as_worker,
    google_workflows_workflow.launch,
  ]
}
