"""The corner cases of WSGI: behaviours of an app (corner_app.py), and the judge of what its client gets."""

from __future__ import annotations

from collections.abc import Callable

from cases import Case
from verdicts import (
    RIGHT,
    Judge,
    Verdict,
    allowed,
    both,
    closed_once,
    framed,
    if_,
    is_500,
    never_looks_whole,
    no_answer,
    wrong,
)
from wire import LEAVE, Answer, Outcome, Until

INPUT = "WSGI: the request"
BODY = "WSGI: framing the answer"
HEAD = "WSGI: start_response and headers"
END = "WSGI: failures and close()"

NEXT = b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"


def _ask(
    case_id: str, group: str, meaning: str, section: str, app: str, judge: Judge, **how: str
) -> Case:
    """One request to a behaviour. method, version, fields (lines), body, then (a request behind), awaits: as named."""
    method = how.get("method", "GET")
    head = f"{method} /w/{app} HTTP/{how.get('version', '1.1')}\r\nHost: a.example\r\n{how.get('fields', '')}\r\n"
    data = head.encode() + how.get("body", "").encode() + (NEXT if "then" in how else b"")
    methods = (method, "GET") if "then" in how else (method,)
    return Case(case_id, group, meaning, section, (data,), judge, methods, True, how.get("awaits", ""))


# --- judges of single cases -------------------------------------------------------------------------------------------


def _parts(*wanted: str) -> Judge:
    def judge(outcome: Outcome) -> Verdict:
        seen = outcome.of("parts")
        if not seen:
            return no_answer(outcome) if not outcome.finals else wrong(str(outcome.finals[0]))
        return if_(seen[0]["parts"] == list(wanted), "other parts")

    return judge


def _by_size(outcome: Outcome) -> Verdict:
    """PEP 3333 lets a server take the size for a hint; no byte may be lost by it."""
    if not outcome.of("parts"):
        return _parts()(outcome)
    parts = outcome.of("parts")[0]["parts"]
    if parts == ["abc", "d\n", "efg"]:
        return RIGHT
    return allowed("size ignored") if _LINES.startswith("".join(parts)) else wrong("bytes lost")


def _plain_dict(outcome: Outcome) -> Verdict:
    return if_(bool(outcome.of("saw")) and outcome.of("saw")[0]["plain"], "no dict")


def _is(status: int, body: bytes) -> Callable[[Answer], str]:
    def fault(answer: Answer) -> str:
        if answer.status != status:
            return str(answer.status)
        return "other body" if answer.body != body else "" if answer.whole else "client waits"

    return fault


def _has_no_body(status: int, *forbidden: str) -> Callable[[Answer], str]:
    def fault(answer: Answer) -> str:
        if answer.status != status:
            return str(answer.status)
        return next((f"sends {name}" for name in forbidden if answer.all(name)), "")

    return fault


def _for_1_0(answer: Answer) -> str:
    return "sends chunks" if answer.all("transfer-encoding") else _is(200, b"hello")(answer)


def _at_most_told(answer: Answer) -> str:
    return "" if answer.status >= 500 or answer.body == b"hello" else "other body"


def _no_split(outcome: Outcome) -> Verdict:
    if b"\nX-Split" in outcome.raw or b"\rX-Split" in outcome.raw:
        return wrong("split")
    return allowed("cleaned") if outcome.finals and outcome.finals[0] < 500 else is_500(outcome)


def _no_null(outcome: Outcome) -> Verdict:
    return wrong("sent") if b"\0" in outcome.raw else _no_split(outcome)


def _latin_1(outcome: Outcome) -> Verdict:
    return is_500(outcome) if not outcome.finals or outcome.finals[0] >= 500 else allowed("sent somehow")


def _hop_by_hop(*names: str) -> Judge:
    """PEP 3333 has it raise ("should"); to drop the field does what it is for."""

    def judge(outcome: Outcome) -> Verdict:
        if not outcome.answers:
            return no_answer(outcome)
        sent = [name for name in names if outcome.answers[0].all(name)]
        return RIGHT if not sent or outcome.finals[0] >= 500 else allowed("passed on")

    return judge


def _own_coding(outcome: Outcome) -> Verdict:
    if not outcome.answers or outcome.finals[0] >= 500:
        return is_500(outcome)
    answer = outcome.answers[0]
    whole = answer.whole and answer.body == b"said" and not outcome.rest and len(answer.all("transfer-encoding")) < 2
    return if_(whole, "no framing")


def _one(name: str, value: str) -> Judge:
    def judge(outcome: Outcome) -> Verdict:
        values = outcome.answers[0].all(name) if outcome.answers else []
        if len(values) != 1:
            return wrong(f"{len(values)} of them")
        return RIGHT if values == [value] else allowed("replaced")

    return judge


def _one_length(outcome: Outcome) -> Verdict:
    if not outcome.answers:
        return no_answer(outcome)
    return if_(outcome.finals[0] >= 500 or len(outcome.answers[0].all("content-length")) < 2, "both sent")


def _replaced(outcome: Outcome) -> Verdict:
    if outcome.finals != [503]:
        return wrong(str(outcome.finals[0]) if outcome.finals else "no answer")
    return if_(outcome.answers[0].body == b"sorry" and not outcome.answers[0].all("x-first"), "both heads")


def _raised(outcome: Outcome) -> Verdict:
    return if_([event["kind"] for event in outcome.of("raised")] == ["ValueError"], "not raised")


def _survives(outcome: Outcome) -> Verdict:
    return is_500(outcome) if outcome.same_process else wrong("process ends")


def _wrapped(outcome: Outcome) -> Verdict:
    if not outcome.answers:
        return no_answer(outcome)
    if outcome.of("no wrapper"):
        return allowed("has none")
    return both(framed(_is(200, b"34567")), closed_once)(outcome)


# --- the cases --------------------------------------------------------------------------------------------------------

_LINES = "abcd\nefgh\nij\nkl"
_CHUNKED_LINES = "6\r\nabcd\ne\r\n9\r\nfgh\nij\nkl\r\n0\r\n\r\n"
_SIZED = _parts("ab", "cd\n", "efgh\n", "ij\n", "kl", "", "")
_LENGTH = f"Content-Length: {len(_LINES)}\r\n"
_CODED = "Transfer-Encoding: chunked\r\n"

WSGI_CASES = [
    _ask("reads-by-length", INPUT, "read(n), readline(), readlines(), read() of a body with a length",
         "PEP 3333, input", "reads_by_size", _SIZED, method="POST", fields=_LENGTH, body=_LINES),
    _ask("reads-chunked", INPUT, "the same of a chunked body", "PEP 3333, input", "reads_by_size", _SIZED,
         method="POST", fields=_CODED, body=_CHUNKED_LINES),
    _ask("readline-by-size", INPUT, "readline(n) gives at most n bytes", "PEP 3333, input", "reads_lines_by_size",
         _by_size, method="POST", fields=_LENGTH, body=_LINES),
    _ask("iterates-input", INPUT, "the body as an iterable of lines", "PEP 3333, input", "iterates_its_input",
         _parts("abcd\n", "efgh\n", "ij\n", "kl"), method="POST", fields=_LENGTH, body=_LINES),
    _ask("environ-is-a-dict", INPUT, "environ is a builtin dict", "PEP 3333, environ", "records", _plain_dict),

    _ask("head-no-body", BODY, "HEAD: not a byte of the app's body is sent", "9110 9.3.2", "says_hello",
         framed(_has_no_body(200)), method="HEAD", then="GET"),
    _ask("204-no-body", BODY, "204 with a body from the app: none is sent, nor a coding", "9112 6.1, 6.3",
         "answers_204_with_a_body", framed(_has_no_body(204, "transfer-encoding", "content-length")), then="GET"),
    _ask("204-no-length", BODY, "204 with Content-Length from the app: not sent", "9110 8.6",
         "answers_204_with_a_length", framed(_has_no_body(204, "content-length")), then="GET"),
    _ask("304-no-body", BODY, "304 with a body from the app: none is sent", "9112 6.3", "answers_304_with_a_body",
         framed(_has_no_body(304)), then="GET"),
    _ask("longer", BODY, "blocks beyond Content-Length are not sent", "PEP 3333, Content-Length", "is_longer_than_told",
         framed(_at_most_told), then="GET"),
    _ask("longer-by-write", BODY, "nor what write() gives beyond it", "PEP 3333, Content-Length",
         "writes_more_than_told", framed(_at_most_told), then="GET"),
    _ask("shorter", BODY, "fewer bytes than Content-Length: the connection ends", "PEP 3333, Content-Length",
         "is_shorter_than_told", never_looks_whole, then="GET"),
    _ask("streams-1.1", BODY, "a generator without a length, HTTP/1.1", "9112 6.3", "streams",
         framed(_is(200, b"hello"))),
    _ask("streams-1.0", BODY, "the same for HTTP/1.0: no chunks", "9112 6.1", "streams", framed(_for_1_0),
         version="1.0"),
    _ask("streams-1.0-keep-alive", BODY, "and for HTTP/1.0 that would go on", "9112 6.1", "streams", framed(_for_1_0),
         version="1.0", fields="Connection: keep-alive\r\n"),
    _ask("write", BODY, "write() comes before the iterable", "PEP 3333, write()", "writes_and_returns",
         framed(_is(200, b"one two three"))),
    _ask("file-wrapper", BODY, "file_wrapper: from the file's position, as long as told, then close()",
         "PEP 3333, files", "sends_a_file", _wrapped, awaits="close"),

    _ask("starts-late", HEAD, "start_response within a generator", "PEP 3333, start_response",
         "starts_late", framed(_is(201, b"late"))),
    _ask("never-starts", HEAD, "no start_response at all is an error", "PEP 3333, start_response", "never_starts",
         is_500),
    _ask("starts-twice", HEAD, "a second start_response without exc_info is an error", "PEP 3333, start_response",
         "starts_twice", is_500),
    _ask("exc-info-before", HEAD, "exc_info replaces a head that is not sent", "PEP 3333, exc_info",
         "replaces_by_exc_info", _replaced),
    _ask("exc-info-after", HEAD, "exc_info is raised again behind the first block", "PEP 3333, exc_info",
         "fails_by_exc_info", both(_raised, never_looks_whole)),
    _ask("value-crlf", HEAD, "CR LF in a header's value", "9110 5.5, PEP 3333", "splits_its_value", _no_split),
    _ask("value-lf", HEAD, "LF in a header's value", "9110 5.5, PEP 3333", "splits_its_value_by_a_line_feed",
         _no_split),
    _ask("name-crlf", HEAD, "CR LF in a header's name", "9110 5.1, PEP 3333", "splits_its_name", _no_split),
    _ask("status-crlf", HEAD, "CR LF in the status", "9112 4, PEP 3333", "splits_its_status", _no_split),
    _ask("value-nul", HEAD, "NUL in a header's value", "9110 5.5, PEP 3333", "sends_a_null", _no_null),
    _ask("value-not-latin-1", HEAD, "a value that is not latin-1", "PEP 3333, unicode", "is_not_latin_1", _latin_1),
    _ask("hop-coding", HEAD, "the app's own Transfer-Encoding", "9112 6.1, PEP 3333", "sends_transfer_encoding",
         _own_coding),
    _ask("hop-keep-alive", HEAD, "the app's own Keep-Alive", "PEP 3333, other features", "sends_keep_alive",
         _hop_by_hop("keep-alive")),
    _ask("hop-upgrade", HEAD, "the app's own Upgrade", "PEP 3333, other features", "sends_upgrade",
         _hop_by_hop("upgrade")),
    _ask("date-once", HEAD, "the app's Date is the only one", "9110 5.3, 6.6.1", "knows_its_date",
         _one("date", "Thu, 01 Jan 1970 00:00:00 GMT")),
    _ask("server-once", HEAD, "the app's Server is the only one", "9110 5.3, 10.2.4", "knows_its_server",
         _one("server", "mine")),
    _ask("two-lengths", HEAD, "two different lengths from the app", "9110 8.6", "has_two_lengths", _one_length),

    _ask("fails", END, "an exception before anything is sent: 500", "PEP 3333, errors", "fails", is_500),
    _ask("fails-midway", END, "an exception behind the first block: nothing that looks whole", "9112 8",
         "fails_midway", never_looks_whole),
    _ask("fails-midway-length", END, "the same with a Content-Length", "9112 8", "fails_midway_of_a_length",
         never_looks_whole),
    _ask("system-exit", END, "SystemExit is this request's 500, not the process's end", "none", "exits", _survives),
    _ask("close", END, "close() once behind the last block", "PEP 3333, close()", "closes", closed_once,
         awaits="close"),
    _ask("close-head", END, "close() once behind HEAD", "PEP 3333, close()", "closes", closed_once, method="HEAD",
         awaits="close"),
    _ask("close-failed", END, "close() once behind an exception", "PEP 3333, close()", "closes_behind_a_failure",
         closed_once, awaits="close"),
    Case("close-gone", END, "close() once when the client has gone", "PEP 3333, close()",
         (b"GET /w/closes_an_endless_body HTTP/1.1\r\nHost: a.example\r\n\r\n", Until(b"\r\n\r\n"), LEAVE), closed_once,
         awaits="close"),
]  # fmt: skip
