"""The environ dictionary of PEP 3333, a fresh plain dict for each request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..http.request import Request

Environ = dict[str, Any]

# What `build` sets. In the base they make room: a dictionary that is copied with them need not grow so soon.
_OF_THE_REQUEST = (
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "SERVER_PROTOCOL",
    "REMOTE_ADDR", "REMOTE_PORT",
)  # fmt: skip


def base_environ(server_name: str, server_port: str, errors: Any, extra: dict[str, Any]) -> Environ:
    """What is the same for all requests of a listener: the fields of a request begin as a copy of it.

    errors: the text stream for `wsgi.errors`.
    """
    return dict.fromkeys(_OF_THE_REQUEST, "") | {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": errors,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "SERVER_SOFTWARE": "hedgerow",
        "hedgerow.front": "",
        "hedgerow.files": "",
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        **extra,
    }


def build(request: Request, script_name: str, path_info: str, query: str, peer: tuple[str, str]) -> Environ:
    """The environ of one request: its fields, which began as a copy of the base, and the rest. peer: address and port
    of who connected, as text; both empty for a unix socket.

    The framing of the body is the engine's: a chunked body arrives without Transfer-Encoding, its end is told by
    `wsgi.input_terminated`.
    """
    environ = request.fields
    environ["REQUEST_METHOD"] = request.method
    environ["SCRIPT_NAME"] = script_name
    environ["PATH_INFO"] = path_info
    environ["QUERY_STRING"] = query
    environ["REQUEST_URI"] = environ["RAW_URI"] = request.target
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.http11 else "HTTP/1.0"
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer
    return environ


class FileWrapper:
    """`wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling"): an iterable of the file's blocks.

    file: anything with `read(size)`; it is read from its present position. block_size: bytes. `close()` closes the file
    if it can be closed.
    """

    def __init__(self, file: Any, block_size: int = 65_536) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.file.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def blocks(self, limit: int | None) -> Iterator[bytes]:
        """The blocks of the next limit bytes, or of all: no more is read than is sent."""
        while limit is None or limit > 0:
            block: bytes = self.file.read(self.block_size if limit is None else min(self.block_size, limit))
            if not block:
                return
            if limit is not None:
                limit -= len(block)
            yield block

    def close(self) -> None:
        """Close the file."""
        close = getattr(self.file, "close", None)
        if close is not None:
            close()
