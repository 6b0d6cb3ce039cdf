# Valkey, reached through Private Service Connect. Nothing in it is the only copy of anything.
data "google_compute_network" "network" {
  name = var.network
}

data "google_compute_subnetwork" "subnetwork" {
  name   = var.subnetwork
  region = var.region
}

resource "google_network_connectivity_service_connection_policy" "cache" {
  name          = "${local.topology.prefix}-cache"
  location      = var.region
  service_class = "gcp-memorystore"
  network       = data.google_compute_network.network.id

  psc_config {
    subnetworks = [data.google_compute_subnetwork.subnetwork.id]
  }

  depends_on = [google_project_service.used]
}

resource "google_memorystore_instance" "cache" {
  instance_id                 = local.topology.prefix
  location                    = var.region
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = var.cache_replica_count
  node_type                   = var.cache_node_type
  engine_version              = "VALKEY_8_0"
  transit_encryption_mode     = var.cache_tls ? "SERVER_AUTHENTICATION" : "TRANSIT_ENCRYPTION_DISABLED"
  authorization_mode          = "AUTH_DISABLED"
  deletion_protection_enabled = var.deletion_protection

  # Every key has a time to live; under pressure those nearest to nothing go first.
  engine_configs = {
    maxmemory-policy = "volatile-lru"
  }

  desired_auto_created_endpoints {
    network    = data.google_compute_network.network.id
    project_id = var.project
  }

  depends_on = [google_network_connectivity_service_connection_policy.cache]
}

locals {
  cache_connection = one(google_memorystore_instance.cache.endpoints[0].connections[*].psc_auto_connection[0])
  cache_address    = "${local.cache_connection.ip_address}:${local.cache_connection.port}"
  redis_url        = var.cache_tls ? "rediss://${local.cache_address}/0?ssl_ca_certs=/etc/sluice/redis/ca.pem" : "redis://${local.cache_address}/0"
}
