"""The judges that one or two of the wire cases need. It must not know the bytes of any case."""

from __future__ import annotations

from verdicts import RIGHT, Judge, Verdict, allowed, if_, no_answer, refused_in_its_body, smuggled, takes, wrong
from wire import Outcome


def field(name: str, value: str, otherwise: str) -> Judge:
    """The app sees this value. otherwise: what another value is called where no standard forbids it; else wrong."""

    def judge(outcome: Outcome) -> Verdict:
        return RIGHT if outcome.of("saw")[0].get(name) == value else allowed(otherwise)

    return judge


def must_see(name: str, value: str, otherwise: str) -> Judge:
    return lambda outcome: if_(outcome.of("saw")[0].get(name) == value, otherwise)


def interim(*wanted: int) -> Judge:
    return lambda outcome: if_(tuple(outcome.interim) == wanted, "sends 100" if outcome.interim else "no 100")


def closes(outcome: Outcome) -> Verdict:
    return if_(outcome.ending != "open", "kept open")


def length_and_coding(outcome: Outcome) -> str:
    """RFC 9112 6.1 lets a server follow the coding alone, if it closes behind the answer."""
    follows = smuggled(outcome) or outcome.ending == "open"
    return "" if follows else takes("coding, then close", "hello")(outcome) or takes("coding, then close", "")(outcome)


def far_too_long(outcome: Outcome) -> Verdict:
    """Well formed, so a server may also wait for it; it must not take it for another number."""
    if smuggled(outcome):
        return wrong("overflows")
    if outcome.finals:
        return refused_in_its_body()(outcome)
    return allowed("waits for it") if outcome.ending == "open" else no_answer(outcome)


def speaks_1_1(outcome: Outcome) -> Verdict:
    return if_(outcome.answers[0].minor in (0, 1), f"speaks 1.{outcome.answers[0].minor}")


def early_end_of_a_length(outcome: Outcome) -> Verdict:
    """Content-Length tells the app that something is missing, if it counts."""
    if [saw for saw in outcome.of("saw") if not saw["error"]]:
        return allowed("short read")
    return if_(outcome.ending != "open" or bool(outcome.finals), "hangs")


def early_end_of_chunks(outcome: Outcome) -> Verdict:
    if [saw for saw in outcome.of("saw") if not saw["error"]]:
        return wrong("short read")
    return if_(outcome.ending != "open" or bool(outcome.finals), "hangs")


def early_end_of_a_head(outcome: Outcome) -> Verdict:
    return if_(not outcome.events, "app entered") if outcome.ending != "open" or outcome.finals else wrong("hangs")


def invited_lazily(outcome: Outcome) -> Verdict:
    if outcome.finals != [200]:
        return wrong("hangs")
    return allowed("invites anyway") if outcome.interim else RIGHT


def never_run(outcome: Outcome) -> Verdict:
    if smuggled(outcome):
        return wrong("smuggled")
    return if_(outcome.finals[:1] == [200], "no answer")


def answered_while_sending(outcome: Outcome) -> Verdict:
    return RIGHT if outcome.finals[:1] == [200] else allowed("answer lost")


def half_closed(outcome: Outcome) -> Verdict:
    return RIGHT if outcome.finals == [200] else allowed("no answer") if outcome.ending != "open" else wrong("hangs")


def told_that_it_ends(outcome: Outcome) -> Verdict:
    (saw,) = outcome.of("saw")
    return RIGHT if saw["terminated"] or saw.get("CONTENT_LENGTH") == "5" else allowed("not told")
