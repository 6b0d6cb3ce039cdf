"""What the services share: models, the ways they meet (messages, documents, cache keys), and how a process lives."""
