"""The aggregator: merges what is told of items into their batches, settles what is never told, keeps statistics."""
