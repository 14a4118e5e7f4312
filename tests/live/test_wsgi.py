"""PEP 3333 over real sockets: one app a behaviour, and each legal one under wsgiref.validate, too.

Every answer is read by h11 as a strict client.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from h11_support import CUT, Answer, ask, read_answer, request_bytes
from worker_support import APPS, DEADLINE_S, Worker, serving

WSGI_APPS = {folder.name: folder for folder in (APPS / "wsgi").iterdir() if (folder / "app.py").exists()}
VALIDATED = """
from wsgiref.validate import validator
from behaviour import application as behaviour

application = validator(behaviour)
"""
# How wsgiref.validate tells what it finds: raised, warned of, or printed when an iterable was never closed.
COMPLAINTS = ("AssertionError", "WSGIWarning", "without being closed")


def validated(folder: Path, to: Path) -> Path:
    """The app again, between the two sides of wsgiref.validate."""
    shutil.copytree(folder, to)
    (to / "app.py").rename(to / "behaviour.py")
    (to / "app.py").write_text(VALIDATED)
    return to


@pytest.fixture(scope="module", params=["greenlets", "threads"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("validated")
    twins = {f"{name}-validated": validated(app, folder / name) for name, app in WSGI_APPS.items()}
    rooted = validated(WSGI_APPS["tells_its_environ"], folder / "rooted")
    (rooted / "app.toml").write_text('mount = "/"\n')
    threads = request.param == "threads"
    with serving(tmp_path_factory.mktemp("run"), WSGI_APPS | twins | {"rooted": rooted}, threads=threads) as running:
        yield running
        complaints = [line for line in running.lines() if any(word in str(line) for word in COMPLAINTS)]
        assert complaints == [], "wsgiref.validate found fault with one of the two sides"


@pytest.fixture(params=["", "-validated"])
def twin(request: pytest.FixtureRequest) -> str:
    """What is appended to an app's name: nothing, or its twin under wsgiref.validate."""
    return str(request.param)


# Blocks and heads.


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("app", "status", "body"),
    [
        ("starts_late", 201, b"made late"),
        ("replaces_by_exc_info", 500, b"replaced"),
        ("writes_and_returns", 200, b"one two three"),
    ],
)
def test_what_the_app_sends_arrives(
    worker: Worker, twin: str, app: str, status: int, body: bytes, method: str, version: str
) -> None:
    answer = ask(worker, f"/{app}{twin}/", method, version=version)
    assert (answer.status, answer.body) == (status, b"" if method == "HEAD" else body)
    assert answer.all("x-old") == []
    assert len(answer.all("date")) == len(answer.all("server")) == 1
    assert answer.all("transfer-encoding") == (["chunked"] if method == "GET" and version == "1.1" else [])


def test_exc_info_behind_the_head_raises_again_and_the_answer_is_cut(worker: Worker, twin: str) -> None:
    with pytest.raises(CUT):
        ask(worker, f"/fails_by_exc_info{twin}/")
    assert any("KeyError" in str(line.get("traceback")) for line in worker.lines("KeyError"))


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
def test_a_status_without_a_body_has_none_and_the_connection_goes_on(worker: Worker, twin: str, status: str) -> None:
    if status.startswith("205") and twin:
        twin = ""  # the validator wants a type for it
    answer = ask(worker, f"/has_no_body{twin}/?{status.replace(' ', '+')}")
    assert (f"{answer.status} {answer.reason}", answer.body, answer.closed) == (status, b"", False)
    assert answer.all("transfer-encoding") == []


def test_date_and_server_of_the_app_stay(worker: Worker, twin: str) -> None:
    answer = ask(worker, f"/knows_date_and_server{twin}/")
    assert answer.all("date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]
    assert answer.all("server") == ["of its own"]


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        ("100 Continue", "X-A", "1"),
        ("101 Switching Protocols", "X-A", "1"),
        ("200", "X-A", "1"),
        ("200 OK\r\nX-Split: 1", "X-A", "1"),
        ("200 OK", "X-A", "1\r\nX-Split: 1"),
        ("200 OK", "X-A", "1\r\n\r\n<script>"),
        ("200 OK", "X-A", "a\nb"),
        ("200 OK", "X-A", "a\rb"),
        ("200 OK", "X-A", "a\0b"),
        ("200 OK", "X-A", "snow ☃"),
        ("200 snow ☃", "X-A", "1"),
        ("200 OK", "X-A\r\nX-Split", "1"),
        ("200 OK", "X A", "1"),
        ("200 OK", "X-A:", "1"),
        ("200 OK", "", "1"),
        ("200 OK", "Content-Length", "4, 4"),
        ("200 OK", "Content-Length", "-4"),
    ],
)
def test_what_can_not_stand_in_a_head_is_the_apps_500(worker: Worker, status: str, name: str, value: str) -> None:
    answer = ask(worker, f"/says_what_it_is_told/?{quote(status)}&{quote(name)}&{quote(value)}")
    assert answer.status == 500
    assert answer.all("x-split") == []
    assert b"said" not in answer.body
    (request_id,) = answer.all("x-request-id")
    told = [line for line in worker.lines(request_id) if line.get("request_id") == request_id and "traceback" in line]
    assert "start_response(status" in told[0]["traceback"], "the log does not show which call it was"


def test_latin_1_goes_through_as_it_is(worker: Worker) -> None:
    answer = ask(worker, f"/says_what_it_is_told/?{quote('200 Très bien')}&X-A&{quote('café ÿ')}")
    assert (answer.reason, answer.all("x-a")) == ("Très bien", ["café ÿ"])


def test_hop_by_hop_fields_are_dropped_with_one_warning_an_app(worker: Worker) -> None:
    for _ in range(3):
        answer = ask(worker, "/sends_hop_by_hop/")
        assert answer.body == b"3\r\nno chunk\r\n0\r\n\r\n"
        assert answer.all("x-mine") == ["1"]
        assert [answer.all(name) for name in ("connection", "keep-alive", "transfer-encoding")] == [[], [], []]
    warnings = [line for line in worker.lines("Keep-Alive") if line["level"] == "warning"]
    assert len(warnings) == 1
    assert warnings[0]["app"] == "sends_hop_by_hop"
    assert '"sends_hop_by_hop" sends Connection, Keep-Alive, Transfer-Encoding' in warnings[0]["message"]


# Lengths.


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("way", ["block", "blocks", "write"])
def test_no_more_than_content_length_is_sent_and_the_connection_goes_on(worker: Worker, way: str, version: str) -> None:
    with worker.connect() as sock:
        for length in (0, 4, 5, 9, 10):
            keep = ["Connection: keep-alive"]
            sock.sendall(request_bytes(f"/breaks_its_length/{way}?{length}", headers=keep, version=version))
            assert read_answer(sock).body == b"0123456789"[:length]
    assert any("longer than its Content-Length" in str(line) for line in worker.lines("longer than its"))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("way", ["block", "blocks", "write"])
def test_less_than_content_length_ends_the_connection(worker: Worker, way: str, version: str) -> None:
    with pytest.raises(CUT):
        ask(worker, f"/breaks_its_length/{way}?11", version=version)


# close().


def closes(worker: Worker, way: str, wanted: int, twin: str = "") -> int:
    """How often close() was called for this way of ending; waits until it is at least wanted."""
    end = time.monotonic() + DEADLINE_S
    while True:
        count = int(json.loads(ask(worker, f"/counts_closes{twin}/counts").body).get(way, 0))
        if count >= wanted or time.monotonic() > end:
            return count
        time.sleep(0.01)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("way", "seen"),
    [
        ("whole", 200),
        ("nothing", 200),
        ("fails", 500),
        ("failsmidway", "cut"),
        ("timesout", "cut"),
        ("failsinclose", 200),
        ("endless", "left"),
    ],
)
def test_close_is_called_once_however_the_answer_ends(
    worker: Worker, twin: str, way: str, seen: str, method: str
) -> None:
    before = closes(worker, way, 0, twin)
    target = f"/counts_closes{twin}/{way}"
    if method == "HEAD" and seen in ("cut", "left"):
        assert ask(worker, target, method).status == 200  # it ends at the first block
    elif seen == "cut":
        with pytest.raises(CUT):
            ask(worker, target, method)
    elif seen == "left":
        with worker.connect() as sock:
            sock.sendall(request_bytes(target))
            sock.recv(10)  # and go
    else:
        assert ask(worker, target, method).status == seen
    assert closes(worker, way, before + 1, twin) == before + 1


# The request.


BODY = b"".join(b"%d" % n * (n % 50) + b"\n" for n in range(2000)) + b"no line feed"


def chunked(body: bytes, sizes: tuple[int, ...] = (1, 70_000, 3, 5000)) -> Iterator[bytes]:
    position = turn = 0
    while position < len(body):
        block = body[position : position + sizes[turn % len(sizes)]]
        yield b"%x\r\n%b\r\n" % (len(block), block)
        position, turn = position + len(block), turn + 1
    yield b"0\r\n\r\n"


@pytest.mark.parametrize("body", [b"", b"\n", b"x" * 3, BODY], ids=["empty", "line", "short", "long"])
@pytest.mark.parametrize("framing", ["length", "chunked", "100-continue"])
def test_each_way_to_read_the_input_gives_the_whole_body(worker: Worker, twin: str, framing: str, body: bytes) -> None:
    with worker.connect() as sock:
        for way in ("sized", "huge", "readline", "shortlines", "readlines", "hinted", "iterated"):
            target = f"/reads_its_input{twin}/{way}"
            if framing == "length":
                sock.sendall(request_bytes(target, "PUT", body=body))
            elif framing == "chunked":
                sock.sendall(request_bytes(target, "PUT", ["Transfer-Encoding: chunked"]) + b"".join(chunked(body)))
            else:
                headers = [f"Content-Length: {len(body)}", "Expect: 100-continue"]
                sock.sendall(request_bytes(target, "PUT", headers))
                if body:
                    assert sock.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
                sock.sendall(body)
            assert read_answer(sock, "PUT").body == body, way


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("way", ["read", "readline", "readlines", "iterated"])
def test_a_body_that_ends_early_is_an_oserror_and_never_a_short_read(worker: Worker, way: str, framing: str) -> None:
    before = len(json.loads(ask(worker, "/meets_an_early_end/seen").body))
    head = {"length": "Content-Length: 100", "chunked": "Transfer-Encoding: chunked"}[framing]
    with worker.connect() as sock:
        body = b"half of it" if framing == "length" else b"5\r\nhalf \r\n20\r\nof"
        sock.sendall(request_bytes(f"/meets_an_early_end/{way}", "PUT", [head]) + body)
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock, "PUT").body == b"went on"
    seen = json.loads(ask(worker, "/meets_an_early_end/seen").body)[before:]
    assert seen == [[way, "OSError"]] * 2


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("", "/"),
        ("a%2Fb//c/../d;x", "/a/b//c/../d;x"),
        ("caf%C3%A9%20%25", "/café %"),
        ("%ff", "/\\xff"),
        ("+&=", "/+&="),
    ],
)
def test_the_paths_that_an_app_sees(worker: Worker, twin: str, raw: str, path: str) -> None:
    target = f"/tells_its_environ{twin}/{raw}?q=%20&x=%E9"
    environ = json.loads(ask(worker, target).body)
    assert environ["SCRIPT_NAME"] == f"/tells_its_environ{twin}"
    assert environ["pi"] == path
    assert environ["QUERY_STRING"] == "q=%20&x=%E9"
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target


def test_options_asterisk_names_no_path(worker: Worker) -> None:
    environ = json.loads(ask(worker, "*", "OPTIONS").body)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("", "", "*")


def test_environ_is_a_plain_dict_without_anything_of_the_request_before(worker: Worker) -> None:
    for _ in range(2):
        environ = json.loads(ask(worker, "/tells_its_environ/", headers=["X-A: 1", "X-A: 2", "X_B: 3"]).body)
        assert environ["type"] == "<class 'dict'>"
        assert "left.behind" not in environ
        assert environ["HTTP_X_A"] == "1,2"
        assert "HTTP_X_B" not in environ


def test_two_requests_of_one_app_run_at_the_same_time(worker: Worker, twin: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(worker, f"/meets_itself{twin}/"), range(2)))
    assert [answer.body for answer in answers] == [b"met, multithread is True"] * 2


# Beyond the standard.


@pytest.mark.parametrize("length", ["", "0", "1", "64", "100"])
def test_a_file_is_sent_from_its_position_as_long_as_told_and_closed(worker: Worker, twin: str, length: str) -> None:
    source = (WSGI_APPS["sends_a_file"] / "app.py").read_bytes()
    for _ in range(3):
        answer = ask(worker, f"/sends_a_file{twin}/?10,{length}")
        assert answer.body == source[10 : 10 + int(length) if length else None]
        assert answer.all("x-open") == ["1"], "a file of a request before is open"


LINK = ("link", "</style.css>; rel=preload; as=style")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_early_hints_come_in_front_of_the_answer(worker: Worker, twin: str, version: str) -> None:
    answer = ask(worker, f"/hints_early{twin}/", "PUT", body=b"body", version=version)
    both = [LINK, ("link", "</a.js>; rel=preload; as=script")]
    assert answer.interim == ([] if version == "1.0" else [(103, both), (103, [LINK])])
    assert (answer.status, answer.body) == (200, b"hinted body")


def test_behind_the_front_early_hints_are_no_ops(tmp_path: Path) -> None:
    """An nginx before 1.29 takes a 103 for the answer (tried with 1.22: the client waits in vain)."""
    with serving(tmp_path, {"hints_early": WSGI_APPS["hints_early"]}, settings={"TRUST_FRONT": 1}) as fronted:
        answer = ask(fronted, "/hints_early/", "PUT", body=b"body")
    assert (answer.interim, answer.status, answer.body) == ([], 200, b"hinted body")


def test_early_hints_leave_the_invitation_to_send_a_body_open(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(request_bytes("/hints_early/", "PUT", ["Content-Length: 4", "Expect: 100-continue"]))
        received = b""
        while b"100 Continue\r\n\r\n" not in received:
            received += sock.recv(1000)
        assert received.count(b"HTTP/1.1 103 ") == 2
        sock.sendall(b"body")
        assert read_answer(sock, "PUT").body == b"hinted body"


@pytest.mark.parametrize("way", ["busy", "waiting"])
@pytest.mark.parametrize("unread", [0, 100_000])
def test_an_app_can_ask_whether_its_client_has_gone(worker: Worker, way: str, unread: int) -> None:
    """Also while it lets nobody run, and when the close lies behind a body that nobody reads."""
    assert ask(worker, f"/asks_for_its_client/{way}?0.1").body == b"there"
    before = len(json.loads(ask(worker, "/asks_for_its_client/seen").body))
    with worker.connect() as sock:
        sock.sendall(
            request_bytes(f"/asks_for_its_client/{way}?5", "PUT", [f"Content-Length: {unread}"]) + bytes(unread)
        )
    end = time.monotonic() + DEADLINE_S
    while len(seen := json.loads(ask(worker, "/asks_for_its_client/seen").body)) == before:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert seen[before:] == [[way, True]]


def test_over_a_unix_socket_a_client_that_closed_its_sending_half_is_still_there(tmp_path: Path) -> None:
    path = str(tmp_path / "front.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        worker = Worker(tmp_path, {"app": WSGI_APPS["asks_for_its_client"]}, listener, "a")
        try:
            for how, body in ((socket.SHUT_WR, b"there"), (None, b"there")):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.settimeout(DEADLINE_S)
                    sock.connect(path)
                    sock.sendall(request_bytes("/app/waiting?0.2"))
                    if how is not None:
                        sock.shutdown(how)
                    assert read_answer(sock).body == body
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                sock.sendall(request_bytes("/app/waiting?5"))
            end = time.monotonic() + DEADLINE_S
            while worker.status()["in_flight"]:
                assert time.monotonic() < end
                time.sleep(0.01)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(DEADLINE_S)
                sock.connect(path)
                sock.sendall(request_bytes("/app/seen"))
                assert json.loads(read_answer(sock).body)[-1] == ["waiting", True]
        finally:
            worker.stop()


def durations(answer: Answer) -> dict[str, float]:
    return {name: float(value) for name, _, value in (line.partition(";dur=") for line in answer.all("server-timing"))}


def test_server_timing_is_told_where_the_manifest_wants_it(worker: Worker, twin: str) -> None:
    timed = durations(ask(worker, f"/is_timed{twin}/"))
    assert timed.pop("db") == 1.5
    assert 50 <= timed.pop("app") < 250  # until the first block, not to the end
    assert timed == {}
    assert durations(ask(worker, f"/is_not_timed{twin}/")) == {"db": 1.5}
