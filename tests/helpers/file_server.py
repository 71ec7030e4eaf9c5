"""A real HTTP server that hands out files, well and badly."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cifar_tricks.data.assets import Asset, Http, Source, Via

CONTENT = bytes(range(256)) * 400
NUM_BYTES = len(CONTENT)
HASH = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Hand each request to the behaviour registered for its path."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.close_connection = True
        self.range = self.headers.get("Range")
        request = Request(path=self.path, range=self.range)
        self.server.requests.append(request)
        self.request_log = request
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.behaviours[self.path](self)

    def start(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.request_log.sent += len(data)  # before whoever reads it can ask
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class Request:
    path: str
    range: str | None
    sent: int = 0


@dataclass
class Faults:
    """Factory of behaviours; each is called with the handler of one request."""

    def whole(self, content: bytes = CONTENT) -> Callable[[Handler], None]:
        """Honour Range, as most servers do."""

        def behave(handler: Handler) -> None:
            first = int(handler.range[6:-1]) if handler.range else 0
            rest = content[first:]
            if first >= len(content):
                handler.start(416, Content_Length=0)
            elif handler.range:
                span = f"bytes {first}-{len(content) - 1}/{len(content)}"
                handler.start(206, Content_Length=len(rest), Content_Range=span)
                handler.body(rest)
            else:
                handler.start(200, Content_Length=len(rest))
                handler.body(rest)

        return behave

    def cut_after(self, num_bytes: int) -> Callable[[Handler], None]:
        """Promise everything and close the connection early."""

        def behave(handler: Handler) -> None:
            handler.start(200, Content_Length=NUM_BYTES)
            handler.body(CONTENT[:num_bytes])

        return behave

    def status(self, status: int) -> Callable[[Handler], None]:
        return lambda handler: handler.start(status, Content_Length=0)

    def sequence(self, *behaviours: Callable[[Handler], None]) -> Callable[[Handler], None]:
        """One behaviour per request, the last one for all that follow."""
        left = list(behaviours)
        return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


FAULTS = Faults()


@dataclass
class Server(ThreadingHTTPServer):
    requests: list[Request] = field(default_factory=list)
    behaviours: dict[str, Callable[[Handler], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        self.block_on_close = False

    __hash__ = object.__hash__

    def source(self, path: str, behaviour: Callable[[Handler], None]) -> Source:
        self.behaviours[path] = behaviour
        return source(Http(url=f"http://127.0.0.1:{self.server_port}{path}"))


def source(via: Via, **changes: object) -> Source:
    fields = {"file_name": "data.bin", "sha256": HASH, "num_bytes": NUM_BYTES, "via": via}
    return Source(**(fields | changes))  # type: ignore[arg-type]


def asset(*sources: Source) -> Asset:
    return Asset(name="things", sources=sources)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()
