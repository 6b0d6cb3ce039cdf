"""Which part of the express lane a request is for. Offered requests by `connection`."""

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from services.gateway.express import posts, reads
from services.gateway.express.connection import Connection


class Express:
    def __init__(self, reading: reads.Reads, posting: posts.Posts) -> None:
        self._reads = reading
        self._posts = posting

    def take(self, message: RawRequestMessage, payload: StreamReader, connection: Connection) -> bool:
        """See `connection.Lane`."""
        if message.method == "GET":
            return message.path.startswith(reads.PREFIX) and self._reads.take(message, payload, connection)
        if message.method == "POST":
            return message.path == posts.PATH and self._posts.take(message, payload, connection)
        return False
