"""What operators do: API keys, queues, dead letters."""
