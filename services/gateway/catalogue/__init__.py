"""What workers announce: the handlers that can be asked for."""
