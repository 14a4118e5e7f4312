"""The page for what nginx finds out itself, and the internal server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from front_backends import Exchange, backends, executes
from front_support import binaries, running

from hedgerow.control.front import NginxBinary

READ_TIMEOUT = ("limits.conf", "proxy_read_timeout 310s;", "proxy_read_timeout 300ms;")


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def edit(snippets: Path, name: str, old: str, new: str) -> None:
    text = (snippets / name).read_text()
    assert old in text
    (snippets / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(("method", "size"), [("GET", 0), ("POST", 3), ("PUT", 1_500_000), ("DELETE", 0)])
def test_nobody_answers(binary: NginxBinary, tmp_path: Path, method: str, size: int) -> None:
    with backends(None, None) as addresses, running(tmp_path, binary, addresses) as front:
        answer = front.request(method, "/errors/502.html", body=bytes(size))
        assert answer.status == 502
        (request_id,) = answer.header("X-Request-Id")
        page = answer.body.decode()
        assert f"<code>{request_id}</code>" in page
        assert "<title>502 · " in page
        assert answer.header("Content-Type") == ["text/html; charset=utf-8"]
        assert answer.header("Cache-Control") == ["no-store"]
        assert not re.search(r"\$|src=|href=|url\(", page), "the page is self-contained and filled in"
        line = front.last_line()
        assert (line["status"], line["request_id"]) == (502, request_id)
        assert str(line["request"]).startswith(f"{method} /errors/502.html ")


def breaks_off(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.drop()


@pytest.mark.parametrize(("handler", "cause"), [(None, "unreachable"), (breaks_off, "crashed")])
def test_the_cause_is_one_word_in_page_and_json_and_log(
    binary: NginxBinary, tmp_path: Path, handler: Callable[[Exchange], None] | None, cause: str
) -> None:
    with backends(handler) as addresses, running(tmp_path, binary, addresses) as front:
        page = front.request("POST", "/a.json", "Accept: text/html, application/json;q=0.9", body=b"x")
        assert f"<small>{cause} · request <code>{front.last_line()['request_id']}</code>" in page.body.decode()
        assert page.header("Content-Type") == ["text/html; charset=utf-8"]
        told = front.request("POST", "/a.html", "Accept: application/json", body=b"x")
        assert told.header("Content-Type") == ["application/json"]
        line = front.last_line(2)
        assert json.loads(told.body)["error"].startswith("No worker could take or finish")
        assert json.loads(told.body) | {"error": ""} == {
            "status": 502, "error": "", "cause": cause, "request_id": line["request_id"]
        }  # fmt: skip
        assert (line["status"], line["cause"]) == (502, cause)
        assert page.header("Vary") == told.header("Vary") == ["Accept"]


def test_head_gets_the_status_alone(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(None) as addresses, running(tmp_path, binary, addresses) as front:
        answer = front.request("HEAD", "/")
        assert (answer.status, answer.body) == (502, b"")


@pytest.mark.parametrize(("method", "size"), [("POST", 0), ("POST", 1_500_000), ("GET", 1_500_000)])
def test_an_answer_that_never_comes_is_504_and_asked_for_once(
    binary: NginxBinary, tmp_path: Path, method: str, size: int
) -> None:
    """With a short read time-out, and with it the time that may pass before a request is not sent on."""

    def stalls(exchange: Exchange) -> None:
        exchange.read_body()
        while exchange.connection.recv(1):
            pass
        exchange.drop()

    def impatient(snippets: Path) -> None:
        edit(snippets, *READ_TIMEOUT)
        edit(snippets, "rounds.conf", "proxy_next_upstream_timeout 5s;", "proxy_next_upstream_timeout 200ms;")

    with (
        backends(stalls, stalls) as addresses,
        running(tmp_path, binary, addresses, change=impatient) as front,
    ):
        answer = front.request(method, "/", body=bytes(size))
        assert answer.status == 504
        assert "<title>504 · " in answer.body.decode()
        assert front.last_line()["cause"] == "deadline"
        assert sum(len(address.seen) for address in addresses) == 1


def test_a_broken_request_is_answered_with_a_request_id(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front:
        with front.client() as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")  # no Host
            answer = client.answer()
        assert answer.status == 400
        assert answer.header("X-Request-Id") == [front.last_line()["request_id"]]
        assert address.seen == []
        assert "uninitialized" not in front.errors.read_text()


def test_the_internal_server_tells_the_number_of_addresses(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes, executes, executes) as addresses, running(tmp_path, binary, addresses) as front:
        answer = front.internal("/addresses")
        assert (answer.status, answer.body) == (200, b"3")
        assert answer.header("Content-Type") == ["text/plain"]
        assert front.internal("/").status == 404
        # The public server reserves no path.
        assert front.request("GET", "/addresses").body == b"fine"
        assert len(front.log_lines()) <= 1, "internal requests are not logged"


def test_the_site_serves_errors_even_when_the_files_are_gone(binary: NginxBinary, tmp_path: Path) -> None:
    """The page is in nginx's memory: an unprivileged process needs to read no file for it."""
    with backends(None) as addresses, running(tmp_path, binary, addresses, change=lambda _: None) as front:
        shutil.rmtree(front.target / "snippets")
        assert b"<code>" in front.request("GET", "/").body
