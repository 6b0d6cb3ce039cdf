# Cloud Run runs what the manifests in deploy/cloudrun say; here they are only handed over.
locals {
  ingress = {
    all                               = "INGRESS_TRAFFIC_ALL"
    internal                          = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    internal-and-cloud-load-balancing = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  }
  manifests = merge(
    {
      for name, service in local.services :
      name => merge({ service = name }, yamldecode(templatefile("${path.module}/../cloudrun/${name}.yaml", local.manifest_values)))
      if !service.each_queue
    },
    merge([
      for name, service in local.services : {
        for queue in local.topology.queues : "${name}-${queue}" => merge({ service = name }, yamldecode(
          templatefile("${path.module}/../cloudrun/${name}${contains(var.push_queues, queue) ? ".push" : ""}.yaml", merge(local.manifest_values, {
            queue     = queue
            instances = lookup(var.worker_instances, queue, 1)
          }))
        ))
      } if service.each_queue
    ]...)
  )
}

resource "google_cloud_run_v2_service" "service" {
  for_each = { for key, manifest in local.manifests : key => manifest if var.cloud_run && manifest.kind == "Service" }

  name                 = each.value.metadata.name
  location             = var.region
  ingress              = local.ingress[each.value.metadata.annotations["run.googleapis.com/ingress"]]
  invoker_iam_disabled = each.value.metadata.annotations["run.googleapis.com/invoker-iam-disabled"] == "true"
  custom_audiences     = jsondecode(try(each.value.metadata.annotations["run.googleapis.com/custom-audiences"], "[]"))
  deletion_protection  = var.deletion_protection

  template {
    service_account                  = google_service_account.service[each.value.service].email
    max_instance_request_concurrency = each.value.spec.template.spec.containerConcurrency
    timeout                          = "${each.value.spec.template.spec.timeoutSeconds}s"
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      min_instance_count = tonumber(each.value.spec.template.metadata.annotations["autoscaling.knative.dev/minScale"])
      max_instance_count = tonumber(each.value.spec.template.metadata.annotations["autoscaling.knative.dev/maxScale"])
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }

    dynamic "containers" {
      for_each = each.value.spec.template.spec.containers
      content {
        name       = containers.value.name
        image      = containers.value.image
        depends_on = try(jsondecode(each.value.spec.template.metadata.annotations["run.googleapis.com/container-dependencies"])[containers.value.name], null)

        resources {
          limits            = containers.value.resources.limits
          cpu_idle          = each.value.spec.template.metadata.annotations["run.googleapis.com/cpu-throttling"] == "true"
          startup_cpu_boost = each.value.spec.template.metadata.annotations["run.googleapis.com/startup-cpu-boost"] == "true"
        }

        dynamic "ports" {
          for_each = try(containers.value.ports, [])
          content {
            name           = ports.value.name
            container_port = ports.value.containerPort
          }
        }

        dynamic "env" {
          for_each = try(containers.value.env, [])
          content {
            name  = env.value.name
            value = try(env.value.value, null)

            dynamic "value_source" {
              for_each = try([env.value.valueFrom.secretKeyRef], [])
              content {
                secret_key_ref {
                  secret  = value_source.value.name
                  version = value_source.value.key
                }
              }
            }
          }
        }

        dynamic "startup_probe" {
          for_each = try([containers.value.startupProbe], [])
          content {
            period_seconds    = startup_probe.value.periodSeconds
            timeout_seconds   = startup_probe.value.timeoutSeconds
            failure_threshold = startup_probe.value.failureThreshold
            http_get {
              path = startup_probe.value.httpGet.path
              port = startup_probe.value.httpGet.port
            }
          }
        }

        dynamic "liveness_probe" {
          for_each = try([containers.value.livenessProbe], [])
          content {
            period_seconds    = liveness_probe.value.periodSeconds
            timeout_seconds   = liveness_probe.value.timeoutSeconds
            failure_threshold = liveness_probe.value.failureThreshold
            http_get {
              path = liveness_probe.value.httpGet.path
              port = liveness_probe.value.httpGet.port
            }
          }
        }

        dynamic "volume_mounts" {
          for_each = try(containers.value.volumeMounts, [])
          content {
            name       = volume_mounts.value.name
            mount_path = volume_mounts.value.mountPath
          }
        }
      }
    }

    dynamic "volumes" {
      for_each = each.value.spec.template.spec.volumes
      content {
        name = volumes.value.name
        secret {
          secret = volumes.value.secret.secretName
          dynamic "items" {
            for_each = volumes.value.secret.items
            content {
              path    = items.value.path
              version = items.value.key
            }
          }
        }
      }
    }
  }

  depends_on = [
    google_firestore_field.exempt,
    google_firestore_index.composite,
    google_project_iam_member.documents,
    google_pubsub_subscription_iam_member.subscriber,
    google_pubsub_topic_iam_member.publisher,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.monitoring,
    google_secret_manager_secret_version.redis_ca,
  ]
}

# This version of the provider knows no probes of worker pools; `gcloud run worker-pools replace` sets the manifests'.
resource "google_cloud_run_v2_worker_pool" "pool" {
  for_each = { for key, manifest in local.manifests : key => manifest if var.cloud_run && manifest.kind == "WorkerPool" }

  name                = each.value.metadata.name
  location            = var.region
  deletion_protection = var.deletion_protection

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = tonumber(each.value.metadata.annotations["run.googleapis.com/manualInstanceCount"])
  }

  template {
    service_account = google_service_account.service[each.value.service].email

    # A pool whose manifest names no network has none: nothing private is reachable from it.
    dynamic "vpc_access" {
      for_each = contains(keys(each.value.spec.template.metadata.annotations), "run.googleapis.com/network-interfaces") ? ["PRIVATE_RANGES_ONLY"] : []
      content {
        egress = vpc_access.value
        network_interfaces {
          network    = var.network
          subnetwork = var.subnetwork
        }
      }
    }

    dynamic "containers" {
      for_each = each.value.spec.template.spec.containers
      content {
        name       = containers.value.name
        image      = containers.value.image
        depends_on = try(jsondecode(each.value.spec.template.metadata.annotations["run.googleapis.com/container-dependencies"])[containers.value.name], null)

        resources {
          limits = containers.value.resources.limits
        }

        dynamic "env" {
          for_each = try(containers.value.env, [])
          content {
            name  = env.value.name
            value = try(env.value.value, null)

            dynamic "value_source" {
              for_each = try([env.value.valueFrom.secretKeyRef], [])
              content {
                secret_key_ref {
                  secret  = value_source.value.name
                  version = value_source.value.key
                }
              }
            }
          }
        }

        dynamic "volume_mounts" {
          for_each = try(containers.value.volumeMounts, [])
          content {
            name       = volume_mounts.value.name
            mount_path = volume_mounts.value.mountPath
          }
        }
      }
    }

    dynamic "volumes" {
      for_each = each.value.spec.template.spec.volumes
      content {
        name = volumes.value.name
        secret {
          secret = volumes.value.secret.secretName
          dynamic "items" {
            for_each = volumes.value.secret.items
            content {
              path    = items.value.path
              version = items.value.key
            }
          }
        }
      }
    }
  }

  depends_on = [
    google_firestore_field.exempt,
    google_firestore_index.composite,
    google_project_iam_member.documents,
    google_pubsub_subscription_iam_member.dead_letters,
    google_pubsub_subscription_iam_member.subscriber,
    google_pubsub_topic_iam_member.dead_letters,
    google_pubsub_topic_iam_member.publisher,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.monitoring,
    google_secret_manager_secret_version.redis_ca,
  ]
}
