# Topics, subscriptions and their policies, as shared/messaging/topics.py declares them.
resource "google_pubsub_topic" "topic" {
  for_each = { for topic in local.topology.topics : topic.name => topic }

  name = each.value.name
  labels = {
    sluice-kind = each.value.kind
  }

  depends_on = [google_project_service.used]
}

resource "google_pubsub_subscription" "subscription" {
  for_each = { for subscription in local.topology.subscriptions : subscription.name => subscription }

  name                       = each.value.name
  topic                      = google_pubsub_topic.topic[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "${each.value.retention_seconds}s"
  labels = {
    sluice-reader = each.value.reader
  }

  retry_policy {
    minimum_backoff = "${each.value.minimum_backoff_seconds}s"
    maximum_backoff = "${each.value.maximum_backoff_seconds}s"
  }

  dynamic "dead_letter_policy" {
    for_each = each.value.dead_letter_topic == null ? [] : [each.value.dead_letter_topic]
    content {
      dead_letter_topic     = google_pubsub_topic.topic[dead_letter_policy.value].id
      max_delivery_attempts = each.value.max_delivery_attempts
    }
  }

  # Where messages are pushed is said by `sluice-admin topology apply`, and taken back while a queue is paused.
  lifecycle {
    ignore_changes = [ack_deadline_seconds, push_config]
  }

  # Empty: never. By default a subscription that nobody pulls from for 31 days is deleted, with all it holds.
  expiration_policy {
    ttl = ""
  }
}
