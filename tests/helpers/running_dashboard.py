"""A dashboard that answers on this machine, in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from colt.views.dashboard.app import dashboard
from colt.views.dashboard.runs import Runs
from colt.views.dashboard.serve import LOOPBACK, PATIENCE_S, listen
from colt.views.report.page import prepare


@contextmanager
def running_dashboard(
    folder: Path,
    token: str | None = None,
    hosts: Sequence[str] = LOOPBACK,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> Iterator[str]:
    """Its address, without a slash at the end. ``around`` may answer in its place."""
    prepare()
    place = listen("127.0.0.1", 0)
    server: uvicorn.Server
    app = around(dashboard(Runs(folder), token, hosts, lambda: server.should_exit))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE_S))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place.listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{place.port}"
    finally:
        server.should_exit = True
        thread.join(10)
        place.listening.close()
