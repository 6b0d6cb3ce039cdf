# The values of keys are never Terraform's: they would stand in the state. Whoever deploys first writes them, see README.md.
resource "google_secret_manager_secret" "id_keys" {
  secret_id           = "${local.topology.prefix}-id-keys"
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }

  depends_on = [google_project_service.used]
}

# Seals the secrets of webhooks' endpoints in the database: whoever has only one of both can sign nothing.
resource "google_secret_manager_secret" "webhook_keys" {
  secret_id           = "${local.topology.prefix}-webhook-keys"
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }

  depends_on = [google_project_service.used]
}

# Public by nature: the certificate of the authority that signed the cache's. A secret is how Cloud Run mounts a file.
resource "google_secret_manager_secret" "redis_ca" {
  secret_id = "${local.topology.prefix}-redis-ca"

  replication {
    auto {}
  }

  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_version" "redis_ca" {
  secret      = google_secret_manager_secret.redis_ca.id
  secret_data = var.cache_tls ? join("\n", google_memorystore_instance.cache.managed_server_ca[0].ca_certs[0].certificates) : "none"
}

# What the metrics sidecar scrapes.
resource "google_secret_manager_secret" "monitoring" {
  secret_id = "${local.topology.prefix}-monitoring"

  replication {
    auto {}
  }

  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_version" "monitoring" {
  secret      = google_secret_manager_secret.monitoring.id
  secret_data = file("${path.module}/../cloudrun/monitoring.yaml")
}

locals {
  secrets = {
    id-keys      = google_secret_manager_secret.id_keys
    webhook-keys = google_secret_manager_secret.webhook_keys
    redis-ca     = google_secret_manager_secret.redis_ca
    monitoring   = google_secret_manager_secret.monitoring
  }
}
