"""Starts a process that outlives it by far, and hands it every descriptor that can be handed on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

CHILD = subprocess.Popen(["sleep", "3600"], close_fds=False)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(CHILD.pid).encode()]
