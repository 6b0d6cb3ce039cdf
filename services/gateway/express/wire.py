"""An answer as bytes on the wire (RFC 9112). Used by the express lane; the application's are aiohttp's to write."""

from http import HTTPStatus
from typing import Final

from aiohttp.helpers import rfc822_formatted_time

from services.gateway.http.replies import Reply

_STATUS: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


def head(reply: Reply) -> bytes:
    """Everything before the two headers that differ from answer to answer."""
    lines = [_STATUS[reply.status]]
    lines += [f"{name}: {value}\r\n" for name, value in reply.headers.items()]
    if reply.body is not None:
        lines.append(f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n")
    lines.append("Server: sluice\r\nX-Request-Id: ")
    return "".join(lines).encode()


def complete(head: bytes, request_id: str, body: bytes | None) -> bytes:
    """The whole answer. The date is made once a second."""
    return b"%b%b\r\nDate: %b\r\n\r\n%b" % (head, request_id.encode(), rfc822_formatted_time().encode(), body or b"")


def render(reply: Reply, request_id: str) -> bytes:
    return complete(head(reply), request_id, reply.body)
