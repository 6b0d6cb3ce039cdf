"""A webhook consumer: registers itself with a local Sluice, then prints each message that it can verify.

    SLUICE_WEBHOOKS_ALLOW_LOCAL=1 make run                                              in one terminal
    SLUICE_API_KEY=sk_dev_… .venv/bin/python -m examples.receiver                       in another: the key is printed

then post a job, and watch. Ends with Ctrl-C, and takes its registration back. Nothing but the standard library and the
SDK: what a consumer in production needs is `verify`, and to answer 2xx.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from sluice import Webhook, WebhookVerificationError

PORT = 9_099
MAX_BODY_BYTES = 64 * 1024


class Receiver(ThreadingHTTPServer):
    """Verifies with `webhook`, once there is one; `port` 0 lets a free one be chosen."""

    def __init__(self, port: int = PORT) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.webhook: Webhook | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """204 for what is genuine; 400, so that it comes again, for what is not."""
        server = self.server
        assert isinstance(server, Receiver)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, MAX_BODY_BYTES))
        if server.webhook is None:
            self._answer(503)
            return
        try:
            message = server.webhook.verify(body, dict(self.headers.items()))
        except WebhookVerificationError as fault:
            print(f"refused: {fault}", flush=True)  # noqa: T201 - an example talks
            self._answer(400)
        else:
            show(self.headers["webhook-id"], message)
            self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The messages are the log."""


def show(id: str, message: Any) -> None:
    print(f"{message['timestamp']}  {message['type']:<16} {id}", flush=True)  # noqa: T201
    print("    " + json.dumps(message["data"], ensure_ascii=False)[:400], flush=True)  # noqa: T201


def main() -> int:
    key = os.environ.get("SLUICE_API_KEY")
    if not key:
        print("Set SLUICE_API_KEY to the key that `make run` prints.", file=sys.stderr)  # noqa: T201
        return 2
    base_url = os.environ.get("SLUICE_URL", "http://127.0.0.1:8080")
    api = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False)
    with api, Receiver(int(os.environ.get("RECEIVER_PORT", PORT))) as receiver:
        made = api.post("/v1/webhooks", json={"url": receiver.url, "description": "examples.receiver"})
        if made.status_code != httpx.codes.CREATED:
            print(f"Sluice refused the registration: {made.json().get('detail')}", file=sys.stderr)  # noqa: T201
            return 1
        receiver.webhook = Webhook(made.json()["secret"])
        print(f"listening at {receiver.url}", flush=True)  # noqa: T201
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        api.post(f"/v1/webhooks/{made.json()['id']}/test")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            receiver.shutdown()
        finally:
            api.delete(f"/v1/webhooks/{made.json()['id']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
