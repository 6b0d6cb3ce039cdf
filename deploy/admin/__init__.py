"""`sluice-admin`: what an operator does to a running system."""
