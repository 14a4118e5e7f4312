"""What an attacker sends through front and replicas, and what comes of it; docs/front.md has the table.

Each app answers with what it saw, or writes it down; each secret is the same word.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from front_support import Answer, Client

from .attack_rows import HOSTS, MALFORMED_ANSWERS, SPOOFS, TARGETS, WORDS_OF_A_WORKER
from .engine import HERE, Stack, wait_for
from .footprint import serving
from .smuggling import Row, rows
from .smuggling_run import ASKED_AT_LEAST, ORDINARY, Run, perform

APPS = [HERE / "apps" / name for name in ("records", "holds", "private", "answers_oddly", "own_server_lies")]
SECRET = b"nightshade"


def asked(stack: Stack, head: str, body: bytes = b"") -> Answer:
    """The answer to a head and what is behind it, on a connection of its own."""
    with Client(stack.port) as client:
        with suppress(ConnectionError):  # who is refused early cannot send the rest
            client.send(head.encode("latin-1") + b"\r\nConnection: close\r\n\r\n" + body)
        return client.answer(head.partition(" ")[0])


def get(stack: Stack, target: str, *lines: str, host: str = "a.example") -> Answer:
    return asked(stack, "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *lines]))


# --- smuggling (first: its laws are about all that the front has logged) ----------------------------------------------


@pytest.fixture(scope="module")
def smuggled(stack: Stack) -> Run:
    return perform(stack)


def entered_for(smuggled: Run, row: Row) -> list[dict[str, Any]]:
    """What the app was entered for in a row's name."""
    prefix = f"/smuggle/{row.name}/"
    return [record for record in smuggled.records if "environ" in record and record["target"].startswith(prefix)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_the_app_sees_what_was_asked_and_nothing_that_was_hidden(smuggled: Run, row: Row) -> None:
    seen = entered_for(smuggled, row)
    assert tuple(record["target"].rpartition("/")[2] for record in seen) == row.seen
    assert smuggled.heard[row.name] == [record["id"] for record in seen], "each was answered, to the one who had asked"


def test_no_other_client_got_an_answer_that_was_not_its_own(smuggled: Run) -> None:
    assert smuggled.ordinary.total() >= ORDINARY * ASKED_AT_LEAST
    assert smuggled.ordinary == {"right": smuggled.ordinary.total()}


def test_the_app_executed_what_was_answered_and_each_once(smuggled: Run) -> None:
    """By the front's log, which has a line for each request and no other; `corpus` and ordinary clients are in it."""
    answered = [line["request_id"] for line in smuggled.log if line["upstream_status"] == "200"]
    entered = Counter(record["id"] for record in smuggled.records if "environ" in record)
    executed = Counter(record["id"] for record in smuggled.records if "body_bytes" in record)
    assert set(executed.values()) == set(entered.values()) == {1}
    assert sorted(executed) == sorted(answered)
    assert {number for numbers in smuggled.heard.values() for number in numbers} <= executed.keys()
    broken = entered.keys() - executed.keys()
    assert broken <= {line["request_id"] for line in smuggled.log}, "the front knows of each that broke off"


def test_nothing_behind_a_rejected_case_is_hidden_from_the_front(smuggled: Run) -> None:
    """The corpus has a request behind each case: where the app was asked for it, the front had asked for it."""
    lines = {line["request_id"]: line["request"] for line in smuggled.log}
    seen = [record for record in smuggled.records if "environ" in record and record["target"] == "/smuggled"]
    assert [record for record in seen if not lines[record["id"]].startswith("GET /smuggled ")] == []
    assert len(seen) > 0


# --- paths ------------------------------------------------------------------------------------------------------------


def test_a_public_file_is_sent_by_the_front(stack: Stack) -> None:
    """Else the tricks below would say nothing."""
    answer = get(stack, "/holds/static/page.txt")
    assert (answer.status, answer.body) == (200, b"a public page")
    (number,) = answer.header("X-Request-Id")
    line = f'"request_id":"{number}"'
    wait_for(lambda: line in stack.logs("front"), f"the line of {number}")
    (told,) = [json.loads(text) for text in stack.logs("front").splitlines() if line in text]
    assert told["round"] == "file"


@pytest.mark.parametrize("target", TARGETS)
def test_no_target_leads_out_of_a_folder(stack: Stack, target: str) -> None:
    """It is refused, or it is the app's own, who has it as it was written."""
    answer = get(stack, target)
    assert SECRET not in answer.body
    assert b"root:" not in answer.body
    assert b"a public page" not in answer.body
    path = "/" + target.split("/", 3)[3] if target.lower().startswith("http:") else target
    if answer.status != 400:
        assert answer.body.decode("latin-1").split()[-1] == path, answer
        assert answer.status == (404 if answer.body.startswith(b"holds ") else 200)
        assert answer.body.startswith((b"holds ", b"answered "))


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "host"),
    [("/", "inner.example"), ("/", "INNER.example:99"), ("http://inner.example/", "a.example")],
)
def test_an_app_of_one_host_is_there_for_who_names_it(stack: Stack, target: str, host: str) -> None:
    assert SECRET in get(stack, target, host=host).body


@pytest.mark.parametrize(("line", "fields"), HOSTS)
def test_an_app_of_one_host_is_there_for_nobody_else(stack: Stack, line: str, fields: list[str]) -> None:
    answer = asked(stack, "\r\n".join([line, *fields]))
    assert SECRET not in answer.body
    assert answer.status in (200, 400, 405), answer
    assert answer.status != 200 or answer.body.startswith(b"answered ")


# --- what an app is told of its client --------------------------------------------------------------------------------


VARYING = {"HTTP_X_REQUEST_ID", "REMOTE_PORT", "hedgerow.request_id", "hedgerow.replica", "hedgerow.address"}
VARYING |= {"hedgerow.worker", "hedgerow.slot"}


def environ(stack: Stack, head: str) -> dict[str, Any]:
    """What the app was told, but for what is another one each time."""
    answer = asked(stack, head)
    assert answer.status == 200, answer
    number = answer.body.split()[1].decode()
    told = [json.loads(line) for line in get(stack, "/records").body.splitlines()]
    (found,) = [one["environ"] for one in told if one["id"] == number and "environ" in one]
    assert found["HTTP_X_REQUEST_ID"] == found["hedgerow.request_id"] == number
    return {key: value for key, value in found.items() if key not in VARYING}


@pytest.fixture(scope="module")
def honest(stack: Stack) -> dict[str, Any]:
    return environ(stack, "GET /told HTTP/1.1\r\nHost: a.example:8080")


def test_an_app_is_told_the_truth(honest: dict[str, Any]) -> None:
    assert honest["REMOTE_ADDR"] == honest["HTTP_X_FORWARDED_FOR"] == honest["HTTP_X_REAL_IP"]
    assert honest["HTTP_HOST"] == honest["HTTP_X_FORWARDED_HOST"] == "a.example:8080"
    assert (honest["wsgi.url_scheme"], honest["HTTP_X_FORWARDED_PORT"], honest["RAW_URI"]) == ("http", "8080", "/told")


@pytest.mark.parametrize("spoof", SPOOFS)
def test_what_a_client_claims_changes_nothing(stack: Stack, honest: dict[str, Any], spoof: str) -> None:
    """Before and behind the honest fields, and thrice."""
    for lines in ([spoof, "Host: a.example:8080"], ["Host: a.example:8080", spoof, spoof]):
        assert environ(stack, "\r\n".join(["GET /told HTTP/1.1", *lines])) == honest


# --- what an app says to the front ------------------------------------------------------------------------------------


def injected(answer: Answer) -> list[str]:
    """Fields that only a worker says to the front, or that an app has got in by another one."""
    names = [name.lower() for name, _ in answer.headers]
    return [name for name in names if name.startswith(("x-accel", "x-hedgerow", "x-injected", "transfer-", "upgrade"))]


@pytest.mark.parametrize("query", MALFORMED_ANSWERS)
def test_an_answer_that_would_be_read_otherwise_is_none(stack: Stack, query: str) -> None:
    answer = get(stack, f"/answers_oddly/?{query}")
    assert answer.status == 500
    assert injected(answer) == []
    assert SECRET not in answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize("query", WORDS_OF_A_WORKER)
def test_an_app_cannot_speak_for_a_worker(stack: Stack, query: str) -> None:
    answer = get(stack, f"/answers_oddly/?{query}&X-Request-Id=forged&X-Own=1")
    assert (answer.status, answer.body) == (200, b"ok")
    assert injected(answer) == []
    assert (answer.header("X-Own"), answer.header("Connection")) == (["1"], ["close"])
    assert "forged" not in answer.header("X-Request-Id")
    assert len(answer.header("X-Request-Id")) == 1


def test_a_server_that_an_app_brings_cannot_either(stack: Stack) -> None:
    answer = get(stack, "/own_server_lies/")
    assert (answer.status, answer.body) == (200, b"own")
    assert injected(answer) == []
    assert "forged" not in answer.header("X-Request-Id")
    assert len(answer.header("X-Request-Id")) == 1


# --- too much of everything -------------------------------------------------------------------------------------------

HEAD = "POST /told HTTP/1.1\r\nHost: a.example"
MANY_COOKIES = [";".join(f"c{number}=1" for number in range(start, start + 1500)) for start in range(0, 6000, 1500)]


@pytest.fixture(scope="module")
def processes(stack: Stack) -> list[int]:
    """Who serves when the first of these tests begins."""
    return [pid for service in ("front", "appserver") for pid in serving(stack, service)]


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        pytest.param(f"GET /{'x' * 20_000} HTTP/1.1\r\nHost: a.example", b"", 414, id="target-20-kB"),
        pytest.param(f"GET /?{'a=1&' * 10_000} HTTP/1.1\r\nHost: a.example", b"", 414, id="10000-parameters"),
        pytest.param(f"GET /?{'a=1&' * 3_500} HTTP/1.1\r\nHost: a.example", b"", 200, id="3500-parameters"),
        pytest.param(f"{HEAD}\r\nX-Own: {'x' * 20_000}", b"", 400, id="field-20-kB"),
        pytest.param(f"{HEAD}\r\n{'x' * 20_000}: a", b"", 400, id="name-20-kB"),
        pytest.param("\r\n".join([HEAD, *("X-A: 1" for _ in range(1000))]), b"", 400, id="1000-fields"),
        pytest.param("\r\n".join([HEAD, *("X-A: 1" for _ in range(500))]), b"", 431, id="500-fields"),
        pytest.param("\r\n".join([HEAD, *(f"X-A: {'x' * 10_000}" for _ in range(7))]), b"", 400, id="head-70-kB"),
        pytest.param(f"{HEAD}\r\nCookie: {'a=1; ' * 10_000}", b"", 400, id="10000-cookies-in-one-field"),
        pytest.param(
            "\r\n".join([HEAD.replace("POST", "GET"), *(f"Cookie: {each}" for each in MANY_COOKIES)]),
            b"", 200, id="6000-cookies-in-four-fields",
        ),
        pytest.param(f"{HEAD}\r\nContent-Length: 3000000000", b"", 413, id="length-3-GB"),
        pytest.param(f"{HEAD}\r\nContent-Length: 9223372036854775807", b"", 413, id="length-of-63-bits"),
        pytest.param(f"{HEAD}\r\nContent-Length: 2000001", b"", 413, id="length-above-the-apps-ceiling"),
        pytest.param(f"{HEAD}\r\nTransfer-Encoding: chunked", b"80000001\r\nx", 413, id="chunk-2-GiB"),
        pytest.param(
            f"{HEAD}\r\nTransfer-Encoding: chunked", b"200b20\r\n" + b"x" * 0x200B20, 413,
            id="chunks-above-the-apps-ceiling",
        ),
    ],
)  # fmt: skip
def test_too_much_is_refused_before_it_is_sent(
    stack: Stack, processes: list[int], head: str, body: bytes, status: int
) -> None:
    """And ends nobody. Of a body nothing is sent, or what one ceiling more allows."""
    assert asked(stack, head, body).status == status
    assert get(stack, "/told").status == 200
    assert [pid for pid in processes if not Path(f"/proc/{pid}").exists()] == []
