output "invoker" {
  description = "Service account that launches."
  value       = google_service_account.invoker.email
}

output "worker" {
  description = "Service account of the launcher and the workers: WORKER_ACCOUNT of run.sh."
  value       = google_service_account.worker.email
}

output "launch" {
  description = "What is sent to Dataflow."
  value       = local.launch
}

output "run_now" {
  description = "Command that launches once, outside the schedule."
  value       = "gcloud scheduler jobs run ${google_cloud_scheduler_job.launch.name} --project=${var.project} --location=${var.region}"
}
