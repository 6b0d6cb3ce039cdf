"""Redis: results, wake-ups and whatever else can be rebuilt. Losing it costs latency, never truth."""
