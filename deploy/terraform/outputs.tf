output "gateway_url" {
  description = "Where the API is, if nothing stands in front of it; null without Cloud Run."
  value       = one([for service in google_cloud_run_v2_service.service : service.uri if endswith(service.name, "-gateway")])
}

output "redis_url" {
  description = "What services and `sluice-admin` take as REDIS_URL. Holds no credentials."
  value       = local.redis_url
}

output "service_accounts" {
  description = "E-mail of each service's account, by service."
  value       = { for name, account in google_service_account.service : name => account.email }
}

output "push" {
  description = "What `sluice-admin topology apply` takes where queues are pushed."
  value = length(var.push_queues) == 0 ? {} : {
    SLUICE_PUSH_ENDPOINT = local.push_endpoint
    SLUICE_PUSH_EMAIL    = google_service_account.push.email
    SLUICE_PUSH_AUDIENCE = "${local.topology.prefix}-worker-{queue}"
    SLUICE_PUSH_QUEUES   = join(",", var.push_queues)
  }
}
