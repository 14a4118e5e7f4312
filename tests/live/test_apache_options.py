"""What an installation may switch on in the shipped Apache front, each on and off, with a real Apache."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apache_support import FILES, Httpd, front
from control_support import drop, free_port, get, stack, until
from front_backends import PATIENCE_S, Backend, Exchange, Handler, backends, executes, reads_and_drops
from front_support import Answer, Client
from https_support import any_certificate, certificate, tls

JSON = "Accept: application/json"
PAGE = "Accept: text/html,application/json;q=0.5"


@contextmanager
def fronted(folder: Path, *handlers: Handler | None, **options: str) -> Iterator[tuple[Httpd, list[Backend]]]:
    folder.chmod(0o755)  # Apache's children are nobody
    with backends(*handlers) as addresses:
        ports = [one.port for one in addresses]
        with front(folder / "apache", free_port(), ports, **options).running() as apache:
            yield apache, addresses


def ask(apache: Httpd, method: str = "GET", target: str = "/", *lines: str, host: str = "site.example:8080") -> Answer:
    with Client(apache.port) as client:
        client.head(method, target, *lines, host=host)
        return client.answer(method)


def logged(apache: Httpd, answer: Answer) -> str:
    """The line of this answer, without its first and its last word."""
    [request_id] = answer.header("x-request-id")
    log = apache.folder / "hedgerow.log"
    until(lambda: request_id in log.read_text(), 10, "its line is in the log")
    [line] = [line for line in log.read_text().splitlines() if line.endswith(request_id)]
    return line.rpartition(" ")[0]


# --- errors that tell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "status", "cause"), [(None, 503, "unreachable"), (reads_and_drops, 502, "crashed")]
)
def test_the_cause_is_one_word_in_page_and_json_and_log(
    tmp_path: Path, handler: Handler | None, status: int, cause: str
) -> None:
    with fronted(tmp_path, handler) as (apache, [address]):
        page, told = (ask(apache, "POST", "/", accept, "Content-Length: 0") for accept in (PAGE, JSON))
        lines = [logged(apache, one) for one in (page, told)]
    assert page.status == told.status == status
    [request_id] = page.header("x-request-id")
    assert f"<small>{cause}, request <code>{request_id}</code>".encode() in page.body
    assert page.header("content-type") == ["text/html; charset=iso-8859-1"]
    assert told.header("content-type") == ["application/json"]
    document = json.loads(told.body)
    assert (document["status"], document["cause"], document["request_id"]) == (
        status, cause, told.header("x-request-id")[0],
    )  # fmt: skip
    for one, line in zip((page, told), lines, strict=True):
        assert line.endswith(f" {cause}")
        assert [one.header(name) for name in ("cache-control", "vary", "x-hedgerow-cause")] == [
            ["no-store"], ["Accept"], [],
        ]  # fmt: skip
    if handler:
        assert f":{address.port} " in lines[0], "the hop"


def test_a_worker_that_says_nothing_for_too_long_counts_as_crashed(tmp_path: Path) -> None:
    done = threading.Event()

    def waits(exchange: Exchange) -> None:
        exchange.read_body()
        done.wait(PATIENCE_S)

    tmp_path.chmod(0o755)
    with backends(waits, waits) as addresses:
        made = front(tmp_path / "apache", free_port(), [one.port for one in addresses])
        file = tmp_path / "apache" / "hedgerow" / "balancer.conf"
        shipped = file.read_text()
        assert " timeout=310 " in shipped
        file.write_text(shipped.replace(" timeout=310 ", " timeout=1 "))
        with made.running() as apache:
            answer = ask(apache, "POST", "/", JSON, "Content-Length: 0")
            line = logged(apache, answer)
            done.set()
    assert (answer.status, json.loads(answer.body)["cause"], line.rpartition(" ")[2]) == (502, "crashed", "crashed")
    assert sum(len(one.seen) for one in addresses) == 1


@pytest.mark.parametrize("kind", ["", "text/html", "text/html; charset=iso-8859-1", "application/json"])
def test_an_apps_own_error_stays_its_own(tmp_path: Path, kind: str) -> None:
    def fails(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.reply(503, b"own", **({"Content_Type": kind} if kind else {}))

    with fronted(tmp_path, fails) as (apache, _):
        answer = ask(apache, "GET", "/", JSON)
        assert logged(apache, answer).endswith(" -")
    assert (answer.status, answer.body, answer.header("content-type")) == (503, b"own", [kind] if kind else [])
    assert answer.header("cache-control") == answer.header("vary") == []


def test_the_log_has_the_word_of_the_worker_and_the_client_has_not(tmp_path: Path) -> None:
    def refuses(exchange: Exchange) -> None:
        exchange.refuse(X_Hedgerow_Cause="full", X_Accel_File="/x", X_Accel_Expires="5")

    with fronted(tmp_path, refuses) as (apache, [address]):
        answer = ask(apache)
        line = logged(apache, answer)
    assert (answer.status, answer.body) == (503, b"refused by the worker")
    assert not [name for name, _ in answer.headers if name.lower().startswith(("x-accel-", "x-hedgerow-"))]
    assert line.endswith(f":{address.port} full")
    assert address.seen[0].header("x-hedgerow-cause") == ["1"]


# --- what is refused, and who is believed -----------------------------------------------------------------------------


def test_hosts(tmp_path: Path) -> None:
    hosts = [
        "site.example:8080",
        "SITE.example",
        "a.b.example.org:1",
        "example.org",
        "site.example.evil",
        "siteXexample",
    ]
    with fronted(tmp_path, executes, HOSTS=r"site\.example|.+\.example\.org") as (apache, [address]):
        assert [ask(apache, host=host).status for host in hosts] == [200, 200, 200, 421, 421, 421]
        assert ask(apache, "GET", "http://evil/").status == 421
        assert ask(apache, "GET", "http://site.example/", host="evil").status == 200
        with Client(apache.port) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.answer().status == 421
    assert len(address.seen) == 4
    (tmp_path / "off").mkdir()
    with fronted(tmp_path / "off", executes) as (apache, _):
        assert {ask(apache, host=host).status for host in hosts} == {200}


def test_methods(tmp_path: Path) -> None:
    methods = ["GET", "HEAD", "POST", "PUT", "MADE-UP", "get"]
    with fronted(tmp_path, executes, METHODS="GET|HEAD|POST") as (apache, [address]):
        assert [ask(apache, method).status for method in methods] == [200, 200, 200, 501, 501, 501]
        assert [ask(apache, method).status for method in ("TRACE", "CONNECT")] == [501, 400]
    assert len(address.seen) == 3
    (tmp_path / "off").mkdir()
    with fronted(tmp_path / "off", executes) as (apache, _):
        assert {ask(apache, method).status for method in methods} == {200}


CLAIMS = ("X-Forwarded-For: 203.0.113.9, 10.1.2.3", "X-Forwarded-Proto: https")


def told_of_the_client(exchange: Exchange) -> list[str]:
    names = ("X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Port")
    return [value for name in names for value in exchange.header(name)]


@pytest.mark.parametrize(
    ("proxies", "told"),
    [
        ("127.0.0.0/8 10.0.0.0/8", ["203.0.113.9", "203.0.113.9", "https", "443"]),
        ("127.0.0.1", ["10.1.2.3", "10.1.2.3", "https", "443"]),
        ("192.0.2.7", ["127.0.0.1", "127.0.0.1", "http", "80"]),
        (None, ["127.0.0.1", "127.0.0.1", "http", "80"]),
    ],
)
def test_proxies_are_believed_if_they_are_named(tmp_path: Path, proxies: str | None, told: list[str]) -> None:
    options = {"TRUSTED_PROXIES": proxies} if proxies else {}
    with fronted(tmp_path, reads_and_drops, executes, **options) as (apache, addresses):
        answers = [ask(apache, "GET", "/", *CLAIMS, host="site.example") for _ in range(3)]
        assert logged(apache, answers[0]).startswith(f"{told[0]} ")
    assert [answer.status for answer in answers] == [200] * 3
    assert [told_of_the_client(one) for one in addresses[1].seen] == [told] * 3, "also of what was sent again"


def test_a_scheme_of_a_proxy_is_http_or_https(tmp_path: Path) -> None:
    with fronted(tmp_path, executes, TRUSTED_PROXIES="127.0.0.1") as (apache, [address]):
        ask(apache, "GET", "/", CLAIMS[0], "X-Forwarded-Proto: httpsx", host="site.example")
    assert told_of_the_client(address.seen[0])[2:] == ["http", "80"]


def test_the_proxy_protocol(tmp_path: Path) -> None:
    line = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n"
    with fronted(tmp_path, executes, PROXY_PROTOCOL="") as (apache, [address]):
        with Client(apache.port) as client:
            client.send(line)
            client.head("GET", "/", *CLAIMS, host="site.example")
            assert client.answer().status == 200
        with Client(apache.port) as client:
            client.head()
            with pytest.raises(ConnectionError):
                client.answer()
    assert [told_of_the_client(one) for one in address.seen] == [["203.0.113.9", "203.0.113.9", "https", "443"]]
    (tmp_path / "off").mkdir()
    with fronted(tmp_path / "off", executes) as (apache, _), Client(apache.port) as client:
        client.send(line)
        client.head()
        assert client.answer().status == 400


def test_slow_clients_are_told_so_and_no_worker_is_asked(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with backends(executes) as [address]:
        made = front(tmp_path / "apache", free_port(), [address.port])
        file = tmp_path / "apache" / "hedgerow" / "limits.conf"
        shipped = file.read_text()
        assert "\nRequestReadTimeout header=15 body=60,MinRate=500\n" in shipped
        file.write_text(shipped.replace("header=15 body=60,MinRate=500", "header=1 body=1,MinRate=500"))
        with made.running(), Client(made.port) as in_head, Client(made.port) as in_body:
            in_head.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
            in_body.head("POST", "/", "Content-Length: 100")
            assert in_head.answer().status == in_body.answer().status == 408
    assert address.seen == []


# --- early hints ------------------------------------------------------------------------------------------------------


def hints(exchange: Exchange) -> None:
    if exchange.header("x-hedgerow-hints") == ["1"]:
        exchange.connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
    exchange.reply()


@pytest.mark.parametrize("switched", [True, False])
def test_early_hints_reach_browsers_that_open_a_page(tmp_path: Path, switched: bool) -> None:
    claim = "X-Hedgerow-Hints: 1"
    options = {"EARLY_HINTS": ""} if switched else {}
    got = []
    with fronted(tmp_path, hints, **options) as (apache, _):
        for lines in (["Sec-Fetch-Mode: navigate", claim], ["Sec-Fetch-Mode: cors", claim], [claim]):
            with Client(apache.port) as client:
                client.head("GET", "/", *lines, "Connection: close")
                got.append(client.socket.makefile("rb").read())
    assert [one.startswith(b"HTTP/1.1 103 ") for one in got] == [switched, False, False]
    assert [one.count(b"HTTP/1.1 200 ") for one in got] == [1, 1, 1]
    assert not switched or b"</a.css>; rel=preload" in got[0].partition(b"\r\n\r\n")[0]


# --- HTTPS ------------------------------------------------------------------------------------------------------------


@contextmanager
def secure(
    folder: Path, *handlers: Handler, ciphers: str = "", **options: str
) -> Iterator[tuple[Httpd, int, list[Backend], list[bytes]]]:
    """With two certificates; the last of the four is what a client sees of them. ciphers: instead of the shipped."""
    folder.chmod(0o755)
    certificates, port = folder / "certificates", free_port()
    shown = []
    for name in ("site.example", "other.example"):
        file = certificates / name / "fullchain.pem"
        shown.append(certificate(file, name, f"*.{name}", key=file.with_name("privkey.pem")))
    with backends(*handlers) as addresses:
        ports = [one.port for one in addresses]
        switched = {"HTTPS": str(port), "CERTIFICATES": str(certificates), **options}
        made = front(folder / "apache", free_port(), ports, **switched)
        (folder / "apache" / "hedgerow" / "certificates.conf").write_text(
            'Use HedgerowCertificate site.example "site.example *.site.example"\n'
            'Use HedgerowCertificate other.example "*.other.example"\n'
        )
        if ciphers:
            policy = folder / "apache" / "hedgerow" / "https.conf"
            policy.write_text(re.sub(r"(?m)^( *SSLCipherSuite) .*$", rf"\1 {ciphers}", policy.read_text()))
        with made.running() as apache:
            yield apache, port, addresses, shown


def securely(port: int, *lines: str, name: str = "site.example", target: str = "/a%2Fb//?c") -> bytes:
    """The whole answer by HTTP/1.1."""
    with tls(port, name, any_certificate()) as connection:
        connection.sendall("\r\n".join([f"GET {target} HTTP/1.1", f"Host: {name}", *lines, "", ""]).encode())
        with connection.makefile("rb") as answer:
            return answer.read()


def test_https_with_the_certificates_of_a_folder(tmp_path: Path) -> None:
    with secure(tmp_path, executes) as (apache, port, [address], shown):
        names = ["site.example", "a.site.example", "other.example", "b.other.example", "made.up", None]
        got = []
        for name in names:
            with tls(port, name, any_certificate()) as connection:
                got.append(connection.getpeercert(binary_form=True))
        assert [shown.index(one) for one in got if one] == [0, 0, 1, 1, 0, 0]
        answer = securely(port)
        assert b"HTTP/1.1 200 " in answer
        assert b"Strict-Transport-Security" not in answer
        assert curled(port) == "1.1 200", "HTTP/2 is off"
        assert apache.test().stderr.strip().endswith("Syntax OK")
    assert address.seen[0].target == "/a%2Fb//?c"
    assert told_of_the_client(address.seen[0])[2:] == ["https", "443"]


def test_a_renewed_certificate_is_taken_up_and_no_request_is_cut(tmp_path: Path) -> None:
    renewed = threading.Event()

    def waits(exchange: Exchange) -> None:
        assert exchange.target == "/" or renewed.wait(PATIENCE_S)
        exchange.reply()

    with secure(tmp_path, waits) as (apache, port, [address], _):
        with tls(port, "site.example", any_certificate()) as connection:
            connection.sendall(b"GET /waits HTTP/1.1\r\nHost: site.example\r\n\r\n")
            until(lambda: address.seen, 10, "a request is inside")
            file = tmp_path / "certificates" / "site.example" / "fullchain.pem"
            new = certificate(file, "site.example", key=file.with_name("privkey.pem"))
            assert apache.process is not None
            apache.process.send_signal(signal.SIGUSR1)  # what `apachectl graceful` sends
            until(lambda: presented(port) == new, 10, "the new one is shown")
            renewed.set()
            with connection.makefile("rb") as answer:
                assert answer.read().endswith(b"\r\n\r\nfine")
        assert b"HTTP/1.1 200 " in securely(port, target="/")


def presented(port: int) -> bytes | None:
    """None while Apache begins anew."""
    try:
        with tls(port, "site.example", any_certificate()) as connection:
            return connection.getpeercert(binary_form=True)
    except OSError:
        return None


def curled(port: int) -> str:
    """Which HTTP a client gets that would take any, and the status."""
    where, claim = f"site.example:{port}", "X-Forwarded-For: 9.9.9.9"
    command = ["curl", "-sk", "--path-as-is", "--http2", "-w", "%{http_version} %{http_code}", "-o", os.devnull]
    command += ["--resolve", f"{where}:127.0.0.1", "-H", claim, "-d", "body", f"https://{where}/a%2Fb//c/../d?x"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def offered(port: int, *arguments: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False).stdout


def test_only_modern_protocols_and_ciphers_and_no_tickets(tmp_path: Path) -> None:
    with secure(tmp_path, executes) as (_, port, _, _):
        weak = "ALL:COMPLEMENTOFALL:!CHACHA20:!AESGCM:@SECLEVEL=0"
        assert "Cipher is (NONE)" in offered(port, "-tls1_2", "-cipher", weak)
        assert "Cipher is (NONE)" in offered(port, "-tls1_2", "-cipher", "kRSA:DHE:@SECLEVEL=0")
        modern = offered(port, "-tls1_2")
        assert "Cipher is ECDHE-ECDSA-" in modern
        assert "TLS session ticket:" not in modern
    (tmp_path / "old").mkdir()
    with secure(tmp_path / "old", executes, ciphers="ALL:@SECLEVEL=0") as (_, port, _, _):
        for version, taken in (("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
            told = offered(port, version, "-cipher", "ALL:@SECLEVEL=0")
            assert ("Cipher is (NONE)" in told) is not taken, version


def test_plain_http_sends_to_https_byte_for_byte(tmp_path: Path) -> None:
    with secure(tmp_path, executes, HTTPS_PUBLIC="8443") as (apache, _, [address], _):
        for target in (
            "/a%2Fb//c/../d?x=%20%22'<>",
            "/",
            "//evil.example/",
            "/%0d%0aX:y?http://x",
            "/%3Fa%3f?b?c",
            "/caf\xe9",
        ):
            answer = ask(apache, "POST", target, "Content-Length: 0")
            assert (answer.status, answer.header("location")) == (308, [f"https://site.example:8443{target}"])
            assert answer.header("cache-control") == ["max-age=3600"]
        answer = ask(apache, "GET", "http://other.example?x")
        assert answer.header("location") == ["https://other.example:8443/?x"]
        for host in ("evil/@site.example", "user@site.example", "a b"):
            answer = ask(apache, host=host)
            assert (answer.status, answer.header("location")) == (400, [])
        with Client(apache.port) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.answer().status == 400
    assert address.seen == []


def test_hsts_if_it_is_wanted_and_the_app_says_nothing_itself(tmp_path: Path) -> None:
    def says(exchange: Exchange) -> None:
        own = {"Strict_Transport_Security": "max-age=1"} if exchange.header("x-own") else {}
        exchange.reply(404, **own)

    field = b"\r\nStrict-Transport-Security: max-age="
    with secure(tmp_path, says, HSTS="300", HOSTS=r"site\.example") as (apache, port, _, _):
        answer, own, refused = securely(port), securely(port, "X-Own: 1"), securely(port, name="b.site.example")
        plain = ask(apache)
        assert plain.header("strict-transport-security") == [], "not by plain HTTP"
        assert plain.header("location") == [f"https://site.example:{port}/"]
    assert (answer.count(field), answer.count(field + b"300\r\n")) == (1, 1)
    assert (own.count(field), own.count(field + b"1\r\n")) == (1, 1)
    assert refused.startswith(b"HTTP/1.1 421 ")
    assert refused.count(field + b"300\r\n") == 1


SECURITY = ("x-content-type-options", "referrer-policy", "x-frame-options")


def test_security_headers_where_the_app_has_none(tmp_path: Path) -> None:
    def says(exchange: Exchange) -> None:
        own = [field.partition("=") for field in exchange.header("x-own")]
        exchange.reply(int(exchange.target[1:]), **{name.replace("-", "_"): value for name, _, value in own})

    def told(apache: Httpd, status: int, *lines: str) -> list[list[str]]:
        answer = ask(apache, "GET", f"/{status}", *lines)
        assert answer.status == status
        return [answer.header(name) for name in SECURITY]

    ours = [["nosniff"], ["strict-origin-when-cross-origin"], ["SAMEORIGIN"]]
    with fronted(tmp_path, says) as (apache, _):
        assert [told(apache, status) for status in (200, 404, 503)] == [ours] * 3
        assert told(apache, 304) == [[], [], []]
        assert told(apache, 200, "X-Own: referrer-policy=no-referrer") == [ours[0], ["no-referrer"], ours[2]]
        assert told(apache, 500, "X-Own: X-Frame-Options=DENY") == [ours[0], ours[1], ["DENY"]]
        assert told(apache, 200, "X-Own: content-security-policy=default-src none")[2] == []
    (tmp_path / "off").mkdir()
    with fronted(tmp_path / "off", says, NO_SECURITY_HEADERS="") as (apache, _):
        assert told(apache, 200) == [[], [], []]


def test_http_2_if_it_is_wanted(tmp_path: Path) -> None:
    with secure(tmp_path, executes, HTTP2="") as (_, port, [address], _):
        assert curled(port) == "2 200"
    [got] = address.seen
    assert (got.method, got.target, bytes(got.body)) == ("POST", "/a%2Fb//c/../d?x", b"body")
    assert told_of_the_client(got) == ["127.0.0.1", "127.0.0.1", "https", str(port)]
    assert got.header("host") == got.header("x-forwarded-host") == [f"site.example:{port}"]


# --- before a real stack ----------------------------------------------------------------------------------------------

APP = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise ValueError("no")
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_X_FORWARDED_PREFIX", "a page").encode()]
"""


def test_files_are_sent_by_the_worker_and_its_word_for_an_error_is_in_the_log(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with stack(workers=1) as here:
        drop(here.apps, "own", APP)
        (here.apps / "own" / "static").mkdir()
        (here.apps / "own" / "static" / "x.txt").write_text("a static file")
        here.up()
        with front(tmp_path / "apache", free_port(), [here.first], EARLY_HINTS="").running() as apache:
            until(lambda: get(apache.port, "/own/static/x.txt") == (200, b"a static file"), 20, "the app is there")
            file = ask(apache, "GET", "/own/static/x.txt", "Range: bytes=2-7", "X-Hedgerow-Files: 0")
            assert (file.status, file.body) == (206, b"static")
            failed = ask(apache, "GET", "/own/raise", JSON, "X-Hedgerow-Cause: 0")
            assert json.loads(failed.body)["cause"] == "error"
            for one in (file, failed):
                assert not [name for name, _ in one.headers if name.lower().startswith(("x-accel-", "x-hedgerow-"))]
            assert logged(apache, failed).endswith(" error")
            with Client(apache.port) as client:
                lines = "Sec-Fetch-Mode: navigate", "X_Forwarded_Prefix: /claimed", "Connection: close"
                client.head("GET", "/own/", *lines)
                arrived = client.socket.makefile("rb").read()
            assert arrived.startswith(b"HTTP/1.1 103 ")
            assert arrived.endswith(b"a page")


def test_each_test_that_the_table_of_promises_names_is_there() -> None:
    told = (FILES.parent / "docs" / "fronts.md").read_text("utf-8")
    written = "".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_apache_*.py"))
    named = set(re.findall(r"`(test_\w+)` \|$", told, re.MULTILINE))
    assert len(named) > 20
    assert named <= set(re.findall(r"^def (test_\w+)", written, re.MULTILINE))
