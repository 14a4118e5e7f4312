"""The cells of the servers table that are known not to work, and why. sign: what the failure of the session shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Red:
    server: str
    application: str
    sign: str
    reason: str


REDS = (
    Red(
        "uWSGI",
        "bottle",
        "error: 500  b''",
        "uWSGI loses the answer of an application that gives `exc_info` to `start_response`, as Bottle does for an"
        " error (uWSGI issue 2278).",
    ),
    Red(
        "Tornado",
        "django",
        "timed out",
        "Django before 6.0 puts a space in front of the value of `Set-Cookie` (Django ticket 36467); Tornado"
        " 6.6 refuses that and leaves the client without an answer.",
    ),
    Red(
        "Paste",
        "pyramid",
        "path: 500",
        "Paste gives the path as decoded text, not as the bytes of PEP 3333; Pyramid raises for an umlaut in it.",
    ),
    Red(
        "Granian",
        "klass",
        "forged: 200",
        "Granian takes status and headers before it iterates, so an application that calls `start_response` only"
        " while it is iterated (a class, a generator) answers 200 without headers (Granian issue 845, not planned).",
    ),
)


def told(server: str, application: str, failure: str) -> str:
    """What the cell says: the reason if the failure is the known one, else the failure itself."""
    for red in REDS:
        if (red.server, red.application) == (server, application) and red.sign in failure:
            return red.reason
    return " ".join(failure.split())[:300]
