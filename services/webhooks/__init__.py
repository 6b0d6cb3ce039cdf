"""Delivers events to webhook endpoints: signed, at least once, each endpoint on its own."""
