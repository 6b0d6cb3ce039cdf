"""`python -m deploy.local.bridge`: settings → app → run."""

from deploy.local.bridge.app import bridge
from deploy.local.bridge.settings import Settings
from shared.lifecycle import run

if __name__ == "__main__":
    run("bridge", Settings, bridge)
