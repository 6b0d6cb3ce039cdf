"""Dashboards and alerts. `panels.py` says what is shown; `python -m deploy.monitoring` writes both dashboards."""
