"""Runs the slow functions: claim → run → finish → tell → acknowledge, each step safe to repeat."""
