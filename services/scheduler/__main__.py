"""`python -m services.scheduler`: settings → app → run."""

from services.scheduler.app import scheduler
from services.scheduler.settings import Settings
from shared.lifecycle import run

if __name__ == "__main__":
    run("scheduler", Settings, scheduler)
