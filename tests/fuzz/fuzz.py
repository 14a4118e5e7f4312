"""The coverage-guided fuzzer of the engine.

    python tests/fuzz/fuzz.py TARGET [--plant FAULT] [libFuzzer's options] [folders of inputs]

Invariant of `reader`, for all bytes: fed whole or in pieces they say the same requests with the same bodies and ends,
and an error or none; nothing but HttpError is raised; what waits unread stays within the limits; behind an error no
request comes; h11 takes each accepted request and reads the same method, target, version, fields, body and end out of
the same bytes (but for the differences that invariants.py lists); written anew in the plainest form it is read as the
same; and 4 KiB take less than MAX_S of CPU time.

Invariant of `body`: the same, with the bytes as a chunked body behind a head.

Invariant of `answer`, for all statuses and headers: ValueError, or h11 as a client reads the same status, fields,
body and end out of the answer.

`--plant` puts a known fault into the engine, to show that it would be found; then without the corpus, of which many a
file would show it at once.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from typing import Any

import atheris
import h11  # noqa: F401  # before the hook below, which would hide extension modules

HERE = Path(__file__).resolve().parent
MAX_S = 0.5
MAX_BYTES = 4096

# Coverage needs the source, also where compiled modules lie beside it.
_only_source = FileFinder.path_hook((SourceFileLoader, SOURCE_SUFFIXES))
sys.path.insert(0, str(HERE.parent / "unit" / "http"))
sys.path_importer_cache.clear()
sys.path_hooks.insert(0, _only_source)
with atheris.instrument_imports(include=["hedgerow.http"]):
    import invariants as law

    from hedgerow.http import body, grammar, reader, request, response
sys.path_hooks.remove(_only_source)
sys.path_importer_cache.clear()
for module in (body, grammar, reader, request, response):
    assert str(module.__file__).endswith(".py"), f"{module} is compiled: no coverage would guide us"

HEAD = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class TakesAZeroByte(reader.RequestReader):
    """The fault: a zero byte is as good as a space."""

    def feed(self, data: bytes) -> None:
        super().feed(data.replace(b"\0", b" "))


class TakesSpaceBeforeColon(reader.RequestReader):
    """The fault: a name may end in a space."""

    def feed(self, data: bytes) -> None:
        super().feed(data.replace(b" : ", b":  "))


class TakesABareLineFeed(reader.RequestReader):
    """The fault: a line may end in LF alone."""

    last = b""

    def feed(self, data: bytes) -> None:
        joined = re.sub(rb"(?<!\r)\n", b"\r\n", self.last + data)
        super().feed(joined[len(self.last) :])
        self.last = data[-1:].replace(b"\n", b"")


class ForgetsItsError(reader.RequestReader):
    """The fault: behind an error in a body the next request is looked for."""

    def next_request(self) -> request.Request | None:
        if self._decoder is not None and not self._decoder.done:
            self._broken = None
        return super().next_request()


class ForgetsToSayClose(response.ResponseHead):
    """The fault: a 304 does not say that the connection ends."""

    def settle(self, *arguments: Any) -> None:
        super().settle(*arguments)
        if self.head.startswith(b"HTTP/1.1 304"):
            self.head = self.head.replace(b"\r\nConnection: close", b"")


PLANTS: dict[str, type] = {
    "zero": TakesAZeroByte,
    "space": TakesSpaceBeforeColon,
    "line-feed": TakesABareLineFeed,
    "no-end": ForgetsItsError,
    "close": ForgetsToSayClose,
}


def check_reader(data: bytes) -> None:
    """See the module's docstring."""
    started = time.thread_time()
    law.assert_reader_holds(data)
    assert time.thread_time() - started < MAX_S, "slow"


def check_body(data: bytes) -> None:
    """See the module's docstring."""
    check_reader(HEAD + data)


def check_answer(data: bytes) -> None:
    """See the module's docstring. One line a header; the first is the status, the second holds method and flags."""
    status, _, rest = data.decode("utf-8", "surrogateescape").partition("\n")
    flags, _, rest = rest.partition("\n")
    headers = [(name, value) for name, _, value in (line.partition(":") for line in rest.split("\n") if line)]
    if grammar.STATUS.match(status) is None:
        return  # start_response refuses it before a head is made
    method = ("GET", "HEAD", "POST")[len(flags) % 3]
    law.assert_answer_holds(status, headers, b"hello", method, "1" in flags, "k" in flags)


TARGETS: dict[str, Callable[[bytes], None]] = {"reader": check_reader, "body": check_body, "answer": check_answer}

SEEDS = {
    "reader": [
        law.GOOD,
        law.GOOD * 3,
        b"\r\nGET http://h:80/p?q#f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + law.GOOD,
        b"POST /a%20b?c=d HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 5\r\nX_Y: 1\r\n\r\nhello" + law.GOOD,
        b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nCookie: a=b\r\nCookie: c\r\n\r\nok",
        HEAD + b"5\r\nhello\r\n0\r\n\r\n" + law.GOOD,
        HEAD + b'a;x="y"\r\n0123456789\r\n00\r\nX: y\r\n\r\n',
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
    ],
    "body": [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"1;a=b\r\nx\r\n0\r\nX: y\r\nZ:\r\n\r\n" + law.GOOD,
        b"0ff\r\n",
        b"0;x\r\n\r\n",
    ],
    "answer": [
        b"200 OK\nk1\nContent-Type:text/html\nContent-Length:5",
        b"204 No Content\n\nDate:x\nServer:y",
        b"304 Not Modified\n1\nX-Accel-Redirect:@x\nSet-Cookie:a\nSet-Cookie:b",
        "200 ünïcode\n11\nX:\x85 é".encode(),
    ],
}


def write_seeds(target: str, folder: Path, corpus: bool) -> None:
    """Our own seeds, and the corpus of wire bytes for what reads them."""
    seeds = list(SEEDS[target])
    if corpus and target == "reader":
        seeds += [path.read_bytes() for path in sorted((HERE.parent / "corpus").glob("**/*.http"))]
    for number, seed in enumerate(seeds):
        (folder / f"{number:04}").write_bytes(seed)


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer's options say stop, or a law is broken: then it prints the bytes and exits with 77."""
    target = arguments.pop(0)
    planted = arguments[:1] == ["--plant"]
    if planted:
        fault = PLANTS[arguments[1]]
        setattr(law, fault.__bases__[0].__name__, fault)
        del arguments[:2]
    with tempfile.TemporaryDirectory(prefix="hedgerow-fuzz-") as folder:
        write_seeds(target, Path(folder), corpus=not planted)
        options = [f"-max_len={MAX_BYTES}", f"-dict={HERE / 'http.dict'}", "-timeout=10", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, *arguments, folder], TARGETS[target])
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
