"""Who asks, how much of it, and whose things they see."""
