"""`python -m services.worker`: settings → app → run."""

from services.worker.app import worker
from services.worker.settings import Settings
from shared.lifecycle import run

if __name__ == "__main__":
    run("worker", Settings, worker)
