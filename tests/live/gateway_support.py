"""Servers and gateways as processes, and the apps that are asked through them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from control_support import free_port

PATIENCE_S = 20.0
# What nginx has to send by FastCGI, beside PATH_INFO.
FASTCGI_PARAMS = """\
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param QUERY_STRING $args;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param SERVER_NAME $host;
fastcgi_param SERVER_PORT $server_port;
fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param HTTPS $https if_not_empty;
"""


@dataclass
class Served:
    """A server that answers. log: all that it says."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        """On a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def answers(port: int) -> bool:
    """Whether a server of HTTP is there."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


@contextmanager
def served(
    folder: Path, command: Sequence[str], environ: Mapping[str, str] | None = None, end: int = signal.SIGTERM
) -> Iterator[Served]:
    """The server that `command` starts, with PORT in it filled in, in `folder`, until it has ended by itself."""
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *(word.replace("PORT", str(port)) for word in command)],
            cwd=folder, stdout=out, stderr=out, env=os.environ | (environ or {}),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Served(process, port, log)
        process.send_signal(end)
        process.wait(PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
