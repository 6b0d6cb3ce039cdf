"""`python -m deploy.monitoring`: writes both dashboards."""

from deploy.monitoring.dashboards import files

for path, text in files().items():
    path.write_text(text)
