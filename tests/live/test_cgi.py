"""`hedgerow cgi` as a script that the kernel starts, as a web server does: variables, stdin and stdout of RFC 3875."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

APP = """
import os, sys, time, urllib.request
print("printed at import")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise LookupError("so it is")
    if path == "/exit":
        sys.exit("so it ends")
    if path in ("/204", "/304"):
        start_response(path[1:] + " Nothing", [])
        return []
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close"), ("X-Own", "yes")])
    if path == "/stream":
        return stream()
    print("printed in a request")
    os.system("echo printed by a child")
    told = [environ[name] for name in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")]
    told += [environ["wsgi.run_once"], environ["wsgi.url_scheme"], environ.get("HTTP_PROXY"),
        urllib.request.getproxies_environment().get("http"), environ["wsgi.input"].read()]
    return [repr(told).encode()]

def stream():
    yield b"first\\n"
    time.sleep(float(os.environ["STREAM_S"]))
    yield b"last"
"""
VARIABLES = {
    "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "SERVER_NAME": "site.example", "SERVER_PORT": "443",
    "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "/cgi-bin/blog", "HTTPS": "on",
}  # fmt: skip
PATIENCE_S = 20.0

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []
    for name, text in {"blog": APP, "broken": "import no_such_module as app\n"}.items():
        (tmp_path / "apps" / name).mkdir(parents=True)
        (tmp_path / "apps" / name / "app.py").write_text(text)

    def start(target: str = "apps/blog", words: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[bytes]:
        script = tmp_path / "script.cgi"
        script.write_text(f"#!/usr/bin/env -S {sys.executable} -m hedgerow.cli cgi {tmp_path / target}\n")
        script.chmod(0o755)
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        started.append(
            subprocess.Popen(
                [script, *words],
                env=kept | VARIABLES | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(PATIENCE_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


def answer(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes, bytes]:
    """Its head, its body, and what it says on stderr. stdin stays open, as some web servers leave it."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.flush()
    head, _, body = process.stdout.read().partition(b"\r\n\r\n")
    errors = process.stderr.read()
    assert process.wait(PATIENCE_S) == 0, errors
    return head, body, errors


def test_a_request_and_nothing_but_the_answer_on_stdout(start: Start) -> None:
    process = start(words=("--help", "-x"), HTTP_PROXY="http://evil.example/")  # `Proxy:` of a client, words of a query
    head, body, errors = answer(process)
    assert head == b"Status: 200 OK\r\nContent-Type: text/plain\r\nX-Own: yes\r\nContent-Length: 82"
    assert body == b"['GET', '/cgi-bin/blog', '', '', True, 'https', 'http://evil.example/', None, b'']"
    assert [line for line in errors.splitlines() if b"printed" in line] == [
        b"printed at import",
        b"printed in a request",
        b"printed by a child",
    ]


def test_a_body_ends_where_its_length_says(start: Start) -> None:
    process = start(REQUEST_METHOD="POST", PATH_INFO="/caf\u00e9", QUERY_STRING="a=1", CONTENT_LENGTH="3")
    assert process.stdin is not None
    process.stdin.write(b"abcdef")
    body = answer(process)[1]
    assert body == b"['POST', '/cgi-bin/blog', '/caf\xc3\x83\xc2\xa9', 'a=1', True, 'https', None, None, b'abc']"
    short = start(REQUEST_METHOD="POST", PATH_INFO="/", CONTENT_LENGTH="30")
    assert short.stdin is not None
    short.stdin.write(b"abcdef")
    short.stdin.close()
    assert short.stdout is not None
    assert short.stdout.read().startswith(b"Status: 500 "), "a short body is never taken for a whole one"
    assert short.stderr is not None
    assert b"OSError: the request's body ended 24 bytes early" in short.stderr.read()


def test_a_block_leaves_when_the_app_yields_it(start: Start) -> None:
    process = start(PATH_INFO="/stream", STREAM_S="0.6")
    assert process.stdout is not None
    while process.stdout.readline() != b"first\n":
        pass
    began = time.monotonic()
    assert process.stdout.read() == b"last"
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/"), ("HEAD", "/204"), ("GET", "/204"), ("GET", "/304")])
def test_an_answer_without_a_body_gets_no_length(method: str, path: str, start: Start) -> None:
    head, body, _ = answer(start(REQUEST_METHOD=method, PATH_INFO=path))
    assert (head.startswith(b"Status: " + (path[1:].encode() or b"200")), body) == (True, b"")
    assert b"Content-Length" not in head


@pytest.mark.parametrize(
    ("target", "path", "said"),
    [
        ("apps/blog", "/fail", b"LookupError: so it is"),
        ("apps/blog", "/exit", b"SystemExit: so it ends"),
        ("apps/broken", "/", b"broken/app.py line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("apps/none", "/", b"none: neither the folder of an app, nor one whose sub-folders are apps"),
    ],
)
def test_what_goes_wrong_is_a_500_with_the_traceback_on_stderr(
    target: str, path: str, said: bytes, start: Start
) -> None:
    head, body, errors = answer(start(target, PATH_INFO=path))
    assert head.startswith(b"Status: 500 Internal Server Error\r\n")
    assert b"Error:" not in body
    assert said in errors


def test_a_folder_of_apps_is_one_script(start: Start) -> None:
    head, _, _ = answer(start("apps", PATH_INFO="/blog", REQUEST_URI="/cgi-bin/blog/blog?x"))
    assert b"Status: 308 Permanent Redirect\r\n" in head
    assert b"Location: /cgi-bin/blog/blog/" in head
    assert answer(start("apps", PATH_INFO="/blog/x"))[1].startswith(b"['GET', '/cgi-bin/blog/blog', '/x'")
    assert answer(start("apps", PATH_INFO="/broken/"))[0].startswith(b"Status: 503 ")


def test_an_ini_file_of_an_app_alone_is_its_entry(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "apps" / "described"
    folder.mkdir()
    (folder / "making.py").write_text("from wsgi_app import application\ndef make(conf): return application\n")
    (folder / "wsgi_app.py").write_text(APP)
    (folder / "paste.ini").write_text("[app:main]\npaste.app_factory = making:make\n")
    assert answer(start("apps/described", PATH_INFO="/x"))[1].startswith(b"['GET', '/cgi-bin/blog', '/x'")
