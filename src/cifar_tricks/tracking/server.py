"""The server behind ``make ui``: MLflow's pages without its assistant.

From version 3.17 on ``mlflow server`` brings an assistant whose tools may run commands on the
machine, and no option leaves it out. What the pages need is the rest of the same application.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from cifar_tricks.tracking.mlflow_store import allow_percent_signs

ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
ALLOWED_ORIGINS = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
SCHEMES = ("http", "https")
REFUSED = "/mlflow/assistant"
# In a fresh profile its panel would open over a quarter of the page, and its button leads nowhere.
HEAD = b"<head>"
HIDDEN = (
    b'<script>localStorage["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"] = "true"</script>'
    b"<style>[data-assistant-ui] { display: none !important }</style>"
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def without_assistant(application: Application) -> Application:
    """The application, which answers 404 to all that is addressed to the assistant, and whose pages
    do not show it."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and REFUSED in scope["path"]:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif scope["type"] == "http" and scope["path"] == "/":
            await application(scope, receive, _hiding(send))
        else:
            await application(scope, receive, send)

    return serve


def _hiding(send: Send) -> Send:
    """Adds HIDDEN to the head of the page that is sent."""

    async def changed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            # The length changes; without it the page is sent in chunks.
            headers = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            message = {**message, "headers": headers}
        elif HEAD in message.get("body", b""):
            message = {**message, "body": message["body"].replace(HEAD, HEAD + HIDDEN, 1)}
        await send(message)

    return changed


def main(host: str, port: int, names: Sequence[str]) -> None:
    """Serves the store that the environment names until it is stopped.

    Args:
        host: the address to listen on.
        port: likewise.
        names: under which requests are answered, beside ``localhost`` and this address, which no
            page of another site can have (the port is that of a tunnel's other end).
    """
    names = [*names, "localhost", host]
    hosts = [*names, *(f"{name}:*" for name in names if ":" not in name)]
    os.environ[ALLOWED_HOSTS] = ",".join(hosts)
    os.environ[ALLOWED_ORIGINS] = ",".join(f"{s}://{name}" for name in hosts for s in SCHEMES)
    allow_percent_signs()
    import uvicorn
    from mlflow.server.fastapi_app import app

    uvicorn.run(without_assistant(app), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
