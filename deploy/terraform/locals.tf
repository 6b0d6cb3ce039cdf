# What several files read. Nothing is declared twice: topics come from the code, services from deploy/services.json,
# indexes from deploy/firestore.indexes.json, containers from the manifests in deploy/cloudrun.
locals {
  topology = jsondecode(file("${path.module}/${var.topology_file}"))
  services = jsondecode(file("${path.module}/../services.json"))
  database = "(default)"

  # Cloud Run's address of a service is known before there is one.
  push_endpoint = "https://${local.topology.prefix}-worker-{queue}-${data.google_project.project.number}.${var.region}.run.app"

  # What may be filled into a manifest. The same names are for `envsubst`, see deploy/cloudrun/README.md.
  manifest_values = {
    project               = var.project
    region                = var.region
    images                = var.images
    tag                   = var.tag
    prefix                = local.topology.prefix
    handlers              = join(",", var.handlers)
    network               = var.network
    subnetwork            = var.subnetwork
    redis_url             = local.redis_url
    gateway_ingress       = var.gateway_ingress
    gateway_min_instances = var.gateway_min_instances
    gateway_max_instances = var.gateway_max_instances
    worker_max_instances  = var.worker_max_instances
    webhooks_instances    = var.webhooks_instances
    aggregator_instances  = var.aggregator_instances
    public_url            = var.public_url
    push_endpoint         = length(var.push_queues) == 0 ? "" : local.push_endpoint
    push_queues           = join(",", var.push_queues)
  }
}
