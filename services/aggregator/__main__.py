"""`python -m services.aggregator`: settings → app → run."""

from services.aggregator.app import aggregator
from services.aggregator.settings import Settings
from shared.lifecycle import run

if __name__ == "__main__":
    run("aggregator", Settings, aggregator)
