# One service account a service, and its rights: those that deploy/services.json names, on the very topics, subscriptions
# and secrets. Only members are added, never a whole binding: what others have granted stays.
resource "google_service_account" "service" {
  for_each = local.services

  account_id   = "${local.topology.prefix}-${each.key}"
  display_name = "Sluice ${each.key}"
}

locals {
  project_rights = merge([
    for name, service in local.services : {
      for role in service.project_roles : "${name} ${role}" => { service = name, role = role }
    }
  ]...)

  publishers = merge([
    for name, service in local.services : {
      for topic in local.topology.topics : "${name} ${topic.name}" => { service = name, topic = topic.name }
      if contains(service.publishes, topic.kind)
    }
  ]...)

  subscribers = {
    for subscription in local.topology.subscriptions : subscription.name => subscription.reader
    if contains(keys(local.services), subscription.reader)
  }

  secret_readers = merge([
    for name, service in local.services : {
      for secret in service.secrets : "${name} ${secret}" => { service = name, secret = secret }
    }
  ]...)

  # Of the lanes of queues that are pushed: those with dead letters are of jobs.
  pushed = {
    for subscription in local.topology.subscriptions : subscription.name => anytrue([
      for queue in var.push_queues : subscription.dead_letter_topic != null && startswith(subscription.topic, "${local.topology.prefix}-jobs-${queue}-")
    ])
  }

  dead_lettering = { for subscription in local.topology.subscriptions : subscription.name => subscription if subscription.dead_letter_topic != null }
  pubsub_agent   = "serviceAccount:service-${data.google_project.project.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

data "google_project" "project" {
  project_id = var.project
}

resource "google_project_iam_member" "project" {
  for_each = local.project_rights

  project = var.project
  role    = each.value.role
  member  = google_service_account.service[each.value.service].member
}

resource "google_project_iam_member" "documents" {
  for_each = { for name, service in local.services : name => service if service.documents }

  project = var.project
  role    = "roles/datastore.user"
  member  = google_service_account.service[each.key].member

  condition {
    title      = "Sluice's database only"
    expression = "resource.name == \"projects/${var.project}/databases/${local.database}\""
  }
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local.publishers

  topic  = google_pubsub_topic.topic[each.value.topic].name
  role   = "roles/pubsub.publisher"
  member = google_service_account.service[each.value.service].member
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each = local.subscribers

  subscription = google_pubsub_subscription.subscription[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.service[each.value].member
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_readers

  secret_id = local.secrets[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service[each.value.service].member
}

# Without these two, dead lettering silently does not happen.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = local.dead_lettering

  topic  = google_pubsub_topic.topic[each.value.dead_letter_topic].name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = local.dead_lettering

  subscription = google_pubsub_subscription.subscription[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# In GKE the pods of `sluice-<service>` are who the account is for.
resource "google_service_account_iam_member" "gke" {
  for_each = var.gke_namespace == "" ? {} : local.services

  service_account_id = google_service_account.service[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.gke_namespace}/sluice-${each.key}]"
}

# In whose name Pub/Sub signs its pushes: it may call the workers that are pushed to, and nothing else.
resource "google_service_account" "push" {
  account_id   = "${local.topology.prefix}-push"
  display_name = "Sluice pushes"
}

resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = { for key, service in google_cloud_run_v2_service.service : key => service if local.manifests[key].service == "worker" }

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}

# The scheduler pauses and resumes what is pushed.
resource "google_pubsub_subscription_iam_member" "pauses" {
  for_each = { for subscription in local.topology.subscriptions : subscription.name => subscription if local.pushed[subscription.name] }

  subscription = google_pubsub_subscription.subscription[each.key].name
  role         = "roles/pubsub.editor"
  member       = google_service_account.service["scheduler"].member
}

resource "google_service_account_iam_member" "pauses" {
  for_each = toset(length(var.push_queues) == 0 ? [] : ["scheduler"])

  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.service[each.value].member
}
