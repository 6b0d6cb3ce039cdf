"""Webhook endpoints and the log of what was sent to them. Sending is `services/webhooks`."""
