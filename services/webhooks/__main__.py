"""`python -m services.webhooks`: settings → app → run."""

from services.webhooks.app import webhooks
from services.webhooks.settings import Settings
from shared.lifecycle import run

if __name__ == "__main__":
    run("webhooks", Settings, webhooks)
