"""What an outcome is worth, by the standards alone: the same functions judge every server, ours among them.

RIGHT: what the standard asks for. ALLOWED: another thing that it lets a server do (MAY, SHOULD, a robustness
exception), or on which it is silent. WRONG: a MUST is broken; or
bytes outside the grammar are taken for a message that another reader would cut elsewhere; or nothing ever comes; or
what comes is not what the app said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from wire import Answer, Outcome


class Mark(Enum):
    RIGHT = "✓"
    ALLOWED = "allowed"
    WRONG = "✗"


@dataclass(frozen=True)
class Verdict:
    """did: two or three words for the table; empty where it did what is asked."""

    mark: Mark
    did: str = ""

    def __str__(self) -> str:
        return f"{self.mark.value} {self.did}".strip() if self.mark is Mark.WRONG else self.did or self.mark.value


Judge = Callable[[Outcome], Verdict]
Leniency = Callable[[Outcome], str]  # what is allowed besides a refusal, or nothing

RIGHT = Verdict(Mark.RIGHT)
SMUGGLED_PATH = "/smuggled"


def allowed(did: str) -> Verdict:
    return Verdict(Mark.ALLOWED, did)


def wrong(did: str) -> Verdict:
    return Verdict(Mark.WRONG, did)


def if_(holds: bool, did: str) -> Verdict:
    return RIGHT if holds else wrong(did)


def bodies(outcome: Outcome) -> list[str]:
    """What the app took for whole bodies, without those of the request that may never be seen."""
    return [saw["body"] for saw in outcome.of("saw") if not saw["error"] and saw["path"] != SMUGGLED_PATH]


def smuggled(outcome: Outcome) -> bool:
    return any(event.get("path") == SMUGGLED_PATH for event in outcome.events)


def no_answer(outcome: Outcome) -> Verdict:
    """Closing without a word is what RFC 9112 2.2 and 9.5 allow; silence on an open connection helps nobody."""
    return wrong("hangs") if outcome.ending == "open" else allowed("closed silently")


# --- requests that are none -------------------------------------------------------------------------------------------


def refused(leniency: Leniency | None = None, before: int = 0, hides: bool = False) -> Judge:
    """4xx, 501 or 505 behind `before` answers; the app never sees it, nor anything behind it.

    hides: the request that may never be seen is hidden inside, and does not just follow.
    """

    def judge(outcome: Outcome) -> Verdict:
        if len(bodies(outcome)) > before:
            lenient = leniency(outcome) if leniency else ""
            return allowed(lenient) if lenient else wrong("smuggled" if hides else "accepted")
        if smuggled(outcome):
            return wrong("smuggled" if hides else "went on")
        if outcome.finals[:before] != [200] * before:
            return wrong("first request lost")
        return refusal(outcome, outcome.answers[before:])

    return judge


def refused_in_its_body(leniency: Leniency | None = None, hides: bool = False) -> Judge:
    """As above, but the app may have been entered: then its read has to fail."""

    def judge(outcome: Outcome) -> Verdict:
        taken = bodies(outcome)
        if taken:
            lenient = leniency(outcome) if leniency else ""
            if lenient:
                return allowed(lenient)
            return wrong("empty body" if not taken[-1] else "smuggled" if hides and smuggled(outcome) else "accepted")
        if smuggled(outcome):
            return wrong("smuggled" if hides else "went on")
        if outcome.of("saw"):  # its read raised; what the app answered then is its own business
            return RIGHT if outcome.ending != "open" else allowed("kept open")
        return refusal(outcome, outcome.answers)

    return judge


def refusal(outcome: Outcome, answers: list[Answer]) -> Verdict:
    if not answers:
        return no_answer(outcome)
    status = answers[0].status
    if 400 <= status < 500 or status in (501, 505):
        return RIGHT
    return allowed(str(status)) if status >= 500 else wrong(str(status))


def takes(what: str, *wanted: str) -> Leniency:
    """The standard lets a server take it, if the app then gets these bodies."""
    return lambda outcome: what if not wanted or tuple(bodies(outcome)) == wanted else ""


def sees(what: str, *values: str | None) -> Leniency:
    """The standard lets a server take it, if the field X then has one of these values (None: it is left out)."""
    return lambda outcome: what if outcome.of("saw")[0].get("HTTP_X") in values else ""


# --- requests that are right ------------------------------------------------------------------------------------------


def served(*wanted: tuple[str, str, str], closes: bool = False, or_refused: str = "") -> Judge:
    """The app sees (method, path, body) of each in order, each is answered, nothing else is.

    closes: nothing behind them is answered. or_refused: what a refusal is called where the standard leaves it open.
    """

    def judge(outcome: Outcome) -> Verdict:
        saw = [(event["method"], event["path"], event["body"]) for event in outcome.of("saw") if not event["error"]]
        if saw == list(wanted):
            return if_(outcome.finals == [200] * len(wanted), "other answers") if outcome.finals else no_answer(outcome)
        if closes and saw[: len(wanted)] == list(wanted):
            return wrong("next one run")
        return unserved(outcome, len(wanted), or_refused)

    return judge


def unserved(outcome: Outcome, count: int, or_refused: str) -> Verdict:
    ended = outcome.ending != "open" and outcome.finals == [200] * len(outcome.finals)
    if outcome.finals and ended and len(outcome.of("saw")) == len(outcome.finals) < count:
        return allowed("ends early")  # RFC 9112 9.5: at any time; the client asks again
    bad = [status for status in outcome.finals if status >= 400]
    if bad and not bodies(outcome) and or_refused:
        return allowed(or_refused)
    if bad:
        return wrong(str(bad[0]))
    if len(outcome.finals) < count:
        return wrong("hangs" if outcome.ending == "open" else "closed")
    return wrong("other request seen")


def in_order(outcome: Outcome) -> Verdict:
    """No request is begun before the one in front has ended."""
    names = [(event["event"], event["path"]) for event in outcome.events if event["event"] in ("enter", "saw")]
    for entered, saw in zip(names[::2], names[1::2], strict=False):
        if (entered[0], saw[0]) != ("enter", "saw") or entered[1] != saw[1]:
            return wrong("run ahead")
    return RIGHT


def both(*judges: Judge) -> Judge:
    """The first verdict that is not RIGHT."""

    def judge(outcome: Outcome) -> Verdict:
        verdicts = (one(outcome) for one in judges)
        return next((verdict for verdict in verdicts if verdict.mark is not Mark.RIGHT), RIGHT)

    return judge


# --- answers ----------------------------------------------------------------------------------------------------------


def framed(check: Callable[[Answer], str]) -> Judge:
    """`check` finds no fault in the first answer, and not a byte of it runs over into what follows."""

    def judge(outcome: Outcome) -> Verdict:
        if not outcome.answers:
            return no_answer(outcome) if outcome.ending == "open" else wrong("no answer")
        fault = check(outcome.answers[0])
        if fault:
            return wrong(fault)
        if outcome.rest or any(answer.status not in (200, 204, 304) for answer in outcome.answers[1:]):
            return wrong("bytes left over")
        return RIGHT

    return judge


def is_500(outcome: Outcome) -> Verdict:
    """The app's error is the app's own: an answer that says so."""
    if not outcome.answers:
        return no_answer(outcome)
    return if_(outcome.finals[0] >= 500, str(outcome.finals[0]))


def never_looks_whole(outcome: Outcome) -> Verdict:
    """Nobody can take what came for the answer, and nobody waits for more."""
    if outcome.finals and outcome.finals[0] >= 500:
        return RIGHT
    if outcome.ending == "open" and not (outcome.answers and outcome.answers[0].whole):
        return wrong("client waits")
    return if_(not outcome.answers or not outcome.answers[0].whole, "looks whole")


def closed_once(outcome: Outcome) -> Verdict:
    count = len(outcome.of("close"))
    return if_(count == 1, f"close() {count} times" if count else "no close()")
