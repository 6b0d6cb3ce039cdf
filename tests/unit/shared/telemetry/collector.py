"""A real OTLP server on this machine, which keeps the metrics that it is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)


@dataclass
class Collector(MetricsServiceServicer):
    endpoint: str = ""
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def Export(self, request: ExportMetricsServiceRequest, _context: Any) -> ExportMetricsServiceResponse:  # noqa: N802
        self.requests.append(request)
        self.came.set()
        return ExportMetricsServiceResponse()

    @property
    def latest(self) -> dict[str, Any]:
        [resource] = self.requests[-1].resource_metrics
        [scope] = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    server, running = grpc.aio.server(), Collector()
    add_MetricsServiceServicer_to_server(running, server)  # type: ignore[no-untyped-call]  # generated without types
    running.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield running
    await server.stop(None)
