"""What every route shares of HTTP: around requests, reading them, refusing them, and answers."""
