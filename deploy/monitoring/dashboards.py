"""Panels as the JSON that Grafana and Cloud Monitoring read. Pure; called by `__main__` and by `make check`."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from deploy.monitoring.panels import ROWS, Panel, Row

FOLDER: Final = Path(__file__).parent
SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 8, 8
"""Of a panel in Grafana, whose dashboards are 24 wide."""
COLUMNS: Final = 24 // WIDTH
TILE_WIDTH, TILE_HEIGHT = 16, 16
"""Of a panel in Cloud Monitoring, whose mosaics are 48 wide."""


def files() -> dict[Path, str]:
    """What stands in which file."""
    return {
        FOLDER / "grafana/sluice.json": _text(grafana(ROWS)),
        FOLDER / "cloud-monitoring.json": _text(cloud_monitoring(ROWS)),
    }


def _text(dashboard: dict[str, Any]) -> str:
    return json.dumps(dashboard, indent=2) + "\n"


def grafana(rows: Iterable[Row]) -> dict[str, Any]:
    return {
        "uid": "sluice",
        "title": "Sluice",
        "tags": ["sluice"],
        "schemaVersion": 41,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "panels": list(_grafana_panels(rows)),
    }


def _grafana_panels(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    id, y = 1, 0
    for row in rows:
        yield {
            "id": id,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }
        id, y = id + 1, y + 1
        for number, panel in enumerate(row.panels):
            place = {
                "x": number % COLUMNS * WIDTH,
                "y": y + number // COLUMNS * HEIGHT,
                "w": WIDTH,
                "h": HEIGHT,
            }
            yield _grafana_panel(panel, id, place)
            id += 1
        y += -(-len(row.panels) // COLUMNS) * HEIGHT


def _grafana_panel(panel: Panel, id: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query.promql, "legendFormat": query.legend}
        for number, query in enumerate(panel.queries)
    ]
    return {
        "id": id,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def cloud_monitoring(rows: Iterable[Row]) -> dict[str, Any]:
    columns = 48 // TILE_WIDTH
    tiles = []
    y = 0
    for row in rows:
        for number, panel in enumerate(row.panels):
            place = {"xPos": number % columns * TILE_WIDTH, "yPos": y + number // columns * TILE_HEIGHT}
            tiles.append({**place, "width": TILE_WIDTH, "height": TILE_HEIGHT, "widget": _widget(row, panel)})
        y += -(-len(row.panels) // columns) * TILE_HEIGHT
    return {"displayName": "Sluice", "mosaicLayout": {"columns": 48, "tiles": tiles}}


def _widget(row: Row, panel: Panel) -> dict[str, Any]:
    data_sets = [
        {
            "plotType": "LINE",
            "legendTemplate": re.sub(r"\{\{(\w+)\}\}", r"${metric.labels.\1}", query.legend),
            "timeSeriesQuery": {"prometheusQuery": query.promql},
        }
        for query in panel.queries
    ]
    return {
        "title": f"{row.title}: {panel.title}",
        "xyChart": {"dataSets": data_sets, "yAxis": {"label": panel.unit, "scale": "LINEAR"}},
    }
