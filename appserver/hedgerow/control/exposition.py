"""What is served by a deployer: its status and what it is told, on its socket; the figures of all replicas, there and,
if one is wanted, on a port, for the front and for Prometheus.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from ..config import Settings
from . import metrics, metrics_text
from .endpoint import Page, serve_status

PATIENCE_S = 10.0


def serve(
    settings: Settings, status: Callable[[], dict[str, Any]], hear: Callable[[str], bool], log: Callable[..., None]
) -> None:
    """Answers until the process ends. A port that somebody else has is told, and no reason not to serve apps."""
    page = Page("/metrics", metrics_text.TYPE, lambda: _text(settings.state))
    serve_status(settings.run / "deployer.sock", status, hear, page)
    if settings.metrics_port:
        try:
            _serve_port(settings.address_host, settings.metrics_port, page)
        except OSError as error:
            log("error", f"HEDGEROW_METRICS_PORT={settings.metrics_port}: {error.strerror}; nothing is told there")


def _text(state: Path) -> bytes:
    """From the files alone, so that the figures of a replica are the same whichever one answers."""
    return metrics_text.render(metrics.read_all(state, time.time())).encode("utf-8", "replace")


def _serve_port(host: str, port: int, page: Page) -> None:
    class Handler(BaseHTTPRequestHandler):
        """One request, for the page and nothing else; names and methods are http.server's."""

        timeout = PATIENCE_S

        def do_GET(self) -> None:
            page.answer(self) if self.path == page.path else self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: it is asked every few seconds."""

    server = _Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone, which is no trouble of ours."""
