"""`python -m services.gateway`: settings → app → run."""

from services.gateway.app import gateway
from services.gateway.settings import Settings
from shared.lifecycle import run

if __name__ == "__main__":
    run("gateway", Settings, gateway)
