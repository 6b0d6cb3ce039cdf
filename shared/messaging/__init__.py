"""Pub/Sub: what is published where (`topics`), the Protocols (`contract`), the adapters, and the consumer.

Named from outside: `contract`, `topics` and `consumer` anywhere; `pubsub` and `memory` in composition roots and tests.
"""
