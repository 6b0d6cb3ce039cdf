"""Pub/Sub: what is published where (`topics`), the Protocols (`contract`), the adapters, and the consumer that keeps leases."""
