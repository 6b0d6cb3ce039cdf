# The alerts are the Prometheus rules of deploy/monitoring/alerts.yaml, so that both worlds have the same ones.
locals {
  alert_groups = yamldecode(file("${path.module}/../monitoring/alerts.yaml")).groups
  alerts = merge([
    for group in local.alert_groups : { for rule in group.rules : rule.alert => merge(rule, { group = group.name }) }
  ]...)
  severities = { page = "CRITICAL", ticket = "WARNING" }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  display_name          = each.value.annotations.summary
  combiner              = "OR"
  severity              = local.severities[each.value.labels.severity]
  notification_channels = var.alert_channels

  conditions {
    display_name = each.key
    condition_prometheus_query_language {
      query               = each.value.expr
      duration            = "${60 * tonumber(trimsuffix(each.value.for, "m"))}s"
      evaluation_interval = "60s"
      rule_group          = each.value.group
      alert_rule          = each.key
      labels              = { severity = each.value.labels.severity }
      # A metric that no process has sent yet is no fault of the rule.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.annotations.description}\n\nRunbook: `${each.value.annotations.runbook}`"
  }

  alert_strategy {
    auto_close = "1800s"
  }

  depends_on = [google_project_service.used]
}

resource "google_monitoring_dashboard" "overview" {
  dashboard_json = file("${path.module}/../monitoring/cloud-monitoring.json")

  depends_on = [google_project_service.used]
}
