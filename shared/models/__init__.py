"""What Sluice talks about: jobs, the messages that carry them, events, handlers, keys. Frozen values, no I/O."""
