"""The security headers: on every answer that lacks them, beside nothing that the app says itself, and none if they are
switched off.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from front_backends import Exchange, backends, executes, reads_and_drops
from front_support import Answer, Front, binaries, running
from https_support import PROTOCOLS, certificate, open_folder, secured, with_http3

from hedgerow.control import front as shipped
from hedgerow.control.front import NginxBinary

OURS = {
    "X-Content-Type-Options": ["nosniff"],
    "Referrer-Policy": ["strict-origin-when-cross-origin"],
    "X-Frame-Options": ["SAMEORIGIN"],
}
NONE: dict[str, list[str]] = {name: [] for name in OURS}
NAVIGATION = "Sec-Fetch-Mode: navigate"


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def told(answer: Answer) -> dict[str, list[str]]:
    """Every field of these names, each as often as it is there."""
    return {name: answer.header(name) for name in OURS}


def says(*lines: str, status: int = 200) -> Callable[[Exchange], None]:
    """An app whose answers have these lines, letter by letter."""

    def answers(exchange: Exchange) -> None:
        exchange.read_body()
        head = [f"HTTP/1.1 {status} Status", *([] if status in (204, 304) else ["Content-Length: 0"]), *lines]
        exchange.connection.sendall("\r\n".join([*head, "", ""]).encode())

    return answers


# --- an app's answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500, 503])
@pytest.mark.parametrize("size", [0, 1_500_000], ids=["", "streamed"])
def test_an_answer_without_them_gets_each_once(binary: NginxBinary, tmp_path: Path, status: int, size: int) -> None:
    with backends(says(status=status)) as addresses, running(tmp_path, binary, addresses) as front:
        answer = front.request("POST", "/", body=bytes(size))
        assert (answer.status, told(answer)) == (status, OURS)


@pytest.mark.parametrize(
    ("lines", "changed"),
    [
        (["X-CONTENT-type-options: anything"], {"X-Content-Type-Options": ["anything"]}),
        (["referrer-policy: no-referrer"], {"Referrer-Policy": ["no-referrer"]}),
        (["x-FRAME-options: dEnY"], {"X-Frame-Options": ["dEnY"]}),
        (["X-Frame-Options: DENY", "X-Frame-Options: DENY"], {"X-Frame-Options": ["DENY", "DENY"]}),
        (["content-SECURITY-policy: frame-ancestors *"], {"X-Frame-Options": []}),
        (["Content-Security-Policy: img-src *", "Content-Security-Policy: script-src *"], {"X-Frame-Options": []}),
        (["Content-Security-Policy: img-src *", "X-Frame-Options: 1"], {"X-Frame-Options": ["1"]}),
        (["Content-Security-Policy-Report-Only: frame-ancestors *"], {}),
        (["X-Frame-Options: |", "Referrer-Policy: 1|"], {"X-Frame-Options": ["|"], "Referrer-Policy": ["1|"]}),
    ],
    ids=str,
)
def test_what_an_app_says_itself_stays_as_it_is(
    binary: NginxBinary, tmp_path: Path, lines: list[str], changed: dict[str, list[str]]
) -> None:
    with backends(says(*lines)) as addresses, running(tmp_path, binary, addresses) as front:
        answer = front.request()
        assert told(answer) == OURS | changed
        policies = [line.partition(": ")[2] for line in lines if line.lower().startswith("content-security-policy:")]
        assert answer.header("Content-Security-Policy") == policies


def test_a_304_gets_nothing_since_it_would_replace_what_the_browser_keeps(binary: NginxBinary, tmp_path: Path) -> None:
    own = ["Referrer-Policy: no-referrer"]
    with backends(says(*own, status=304), says(status=304)) as addresses:
        for number, wanted in ((0, NONE | {"Referrer-Policy": ["no-referrer"]}), (1, NONE)):
            (tmp_path / str(number)).mkdir()
            with running(tmp_path / str(number), binary, addresses[number:][:1]) as front:
                answer = front.request("GET", "/", 'If-None-Match: "x"')
                assert (answer.status, told(answer)) == (304, wanted)


def test_an_upgrade_and_an_early_hint_get_nothing(binary: NginxBinary, tmp_path: Path) -> None:
    def switches(exchange: Exchange) -> None:
        exchange.connection.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nend")
        exchange.drop()

    def hints(exchange: Exchange) -> None:
        exchange.connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        exchange.reply(body=b"end")

    heads = []
    for number, handler in enumerate((switches, hints)):
        (tmp_path / str(number)).mkdir()
        with (
            backends(handler) as addresses,
            running(tmp_path / str(number), binary, addresses, options={"early_hints": True}) as front,
            front.client() as client,
        ):
            client.head("GET", "/", NAVIGATION, "Upgrade: websocket", "Connection: Upgrade")
            received = b""
            while not received.endswith(b"\r\n\r\nend"):
                piece = client.socket.recv(4096)
                assert piece, received
                received += piece
            heads += received.split(b"\r\n\r\n")[:-1]
    assert [head.split()[1] for head in heads] == [b"101", b"103", b"200"]
    assert [b"nosniff" in head and b"SAMEORIGIN" in head for head in heads] == [False, False, True]


# --- the front's own answers ------------------------------------------------------------------------------------------


def own_answers(front: Front) -> dict[int, Answer]:
    """One of each that nginx makes by itself, before a worker is asked and after none has answered."""
    with front.client() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # no Host
        found = [client.answer()]
    with front.client() as client:
        client.head("POST", "/", "Content-Length: 3000000000")
        found.append(client.answer())
    found.append(front.request(host="other.example"))
    found.append(front.request("PUT"))
    found.append(front.request("GET", "/" + "x" * 20_000))
    found.append(front.request("GET", "/", "Accept: application/json"))
    found += [front.request() for _ in range(20)]
    return {answer.status: answer for answer in found}


LIMITS = {"hosts": "site.example", "methods": "GET POST", "client_rate": 1}


def test_the_fronts_own_answers_have_them(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(reads_and_drops) as addresses, running(tmp_path, binary, addresses, options=LIMITS) as front:
        found = own_answers(front)
        assert set(found) == {400, 413, 414, 421, 429, 501, 502}
        assert {status: told(answer) for status, answer in found.items()} == dict.fromkeys(found, OURS)


def test_an_answer_of_a_later_round_has_them(binary: NginxBinary, tmp_path: Path) -> None:
    def refuses(exchange: Exchange) -> None:
        exchange.refuse(X_Frame_Options="none of the app's", Referrer_Policy="nor this")

    with backends(refuses, executes) as addresses, running(tmp_path, binary, addresses) as front:
        answers = [front.request() for _ in range(10)]
        assert any(":" in str(front.line_of(answer)["upstream_addr"]).replace("127.0.0.1:", "") for answer in answers)
        assert [told(answer) for answer in answers] == [OURS] * 10


# --- files that nginx sends -------------------------------------------------------------------------------------------

OWN = {"X-Content-Type-Options": ["Own"], "Referrer-Policy": ["origin"], "X-Frame-Options": ["deny"]}
LINES = [f"{name.lower()}: {value}" for name, [value] in OWN.items()]


@pytest.mark.parametrize(
    ("file", "asked", "status"),
    [("/a.txt", (), 200), ("/a.txt", ("Range: bytes=1-2",), 206), ("/gone.txt", (), 404)],
)
@pytest.mark.parametrize(
    ("lines", "wanted"),
    [([], OURS), (LINES, OWN), (["Content-Security-Policy: img-src *"], OURS | {"X-Frame-Options": []})],
    ids=["nothing", "own", "policy"],
)
def test_a_file_that_nginx_sends_has_them_or_the_apps_once(
    binary: NginxBinary,
    tmp_path: Path,
    file: str,
    asked: tuple[str, ...],
    status: int,
    lines: list[str],
    wanted: dict[str, list[str]],
) -> None:
    handler = says("X-Accel-Redirect: @file", f"X-Accel-File: {file}", "Content-Type: text/plain", *lines)
    with open_folder() as state, backends(handler) as addresses:
        (state / "a.txt").write_text("file")
        with running(tmp_path, binary, addresses, state=state) as front:
            answer = front.request("GET", "/", *asked)
            assert (answer.status, told(answer)) == (status, wanted)
            assert answer.body in (b"file", b"il") or status == 404


# --- off, and by other protocols --------------------------------------------------------------------------------------


def test_switched_off_nothing_is_added(binary: NginxBinary, tmp_path: Path) -> None:
    off = {"security_headers": False}
    with backends(says(*LINES), executes, reads_and_drops) as addresses:
        for number, wanted in ((0, OWN), (1, NONE)):
            (tmp_path / str(number)).mkdir()
            with running(tmp_path / str(number), binary, addresses[number:][:1], options=off) as front:
                answer = front.request()
                assert (answer.status, told(answer)) == (200, wanted)
        with running(tmp_path, binary, addresses[2:], options=LIMITS | off) as front:
            assert "HEDGEROW_SECURITY_HEADERS=0\n" in (front.target / shipped.INSTALLATION).read_text()
            found = own_answers(front)
            assert {status: told(answer) for status, answer in found.items()} == dict.fromkeys(found, NONE)


@pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs
def test_they_are_the_same_by_every_protocol(tmp_path: Path) -> None:
    with open_folder() as folder, backends(executes, says(*LINES)) as addresses:
        certificate(folder / "site.pem", "localhost")
        for number, wanted in ((0, OURS), (1, OWN)):
            (tmp_path / str(number)).mkdir()
            with secured(tmp_path / str(number), with_http3(), addresses[number:][:1], folder) as site:
                for protocol in PROTOCOLS:
                    answer = site.curl(protocol)
                    assert (answer.status, told(answer)) == (200, wanted), protocol
                redirect = site.plain.request()
                assert (redirect.status, told(redirect)) == (308, OURS)


def test_a_mistake_is_one_sentence(binary: NginxBinary, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HEDGEROW_FRONT_RUN": str(tmp_path), "HEDGEROW_NGINX": str(binary.path)}
    done = subprocess.run(
        [str(shipped.nginx_files() / "render.sh")],
        env=environ | {"HEDGEROW_SECURITY_HEADERS": "no"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "HEDGEROW_SECURITY_HEADERS=no: neither 0 nor 1\n")
