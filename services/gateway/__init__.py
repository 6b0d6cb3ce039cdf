"""The HTTP API: accepts work, answers what is known, holds whoever waits. Thin: it runs nothing."""
