"""The dashboard under uvicorn: where it listens, and who may ask."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from colt.errors import InputError

MISSING = "the dashboard needs Starlette and uvicorn: pip install 'colt-tuner[dashboard]'"
PATIENCE_S = 5
"""For answers that are under way at the end."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class ListeningPlace:
    """Where the dashboard listens. ``token`` is ``None`` on loopback."""

    listening: socket.socket
    host: str
    port: int
    token: str | None

    @property
    def address(self) -> str:
        """What to open."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def listen(host: str, port: int) -> ListeningPlace:
    """Take a port, 0 for any that is free. Raises :class:`InputError`."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port is {port}; it takes an integer from 0 to 65535")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
    except OSError as error:
        raise InputError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from None
    found = str(where[0])
    token = None if ipaddress.ip_address(found.partition("%")[0]).is_loopback else secrets.token_urlsafe(24)
    return ListeningPlace(listening, host, int(listening.getsockname()[1]), token)


def serve(folder: Path, place: ListeningPlace) -> None:
    """Answer until interrupted. Raises :class:`InputError` if the extra is not installed."""
    try:
        import uvicorn

        from colt.views.dashboard.app import dashboard
    except ImportError:
        raise InputError(MISSING) from None
    from colt.views.dashboard.runs import Runs
    from colt.views.report.page import prepare

    prepare()
    hosts = [*LOOPBACK, place.host] if place.token is None else ["*"]
    server: uvicorn.Server
    app = dashboard(Runs(folder), place.token, hosts, lambda: server.should_exit)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE_S, server_header=False)
    server = uvicorn.Server(config)
    server.run(sockets=[place.listening])
