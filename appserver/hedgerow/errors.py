"""The errors that more than one layer knows. Each carries what its catcher needs, so that who catches does not
choose.
"""

from __future__ import annotations

from typing import NamedTuple


class HedgerowError(Exception):
    """Base of all errors raised on purpose."""


class UserError(HedgerowError):
    """A user's mistake, told in one sentence that names file and key; the command line prints it and exits with 2."""


class HttpError(HedgerowError):
    """A request that is answered by the engine itself.

    status: the HTTP status code; reason: one sentence, safe to show to the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class RefusedError(HedgerowError):
    """A request refused before its app was entered, so that another address may take it.

    cause: one word for log and page (full, draining, starting); retry_after_s: for the client if nobody takes it.
    """

    def __init__(self, cause: str, retry_after_s: int = 1) -> None:
        super().__init__(f"refused before entry: {cause}")
        self.cause = cause
        self.retry_after_s = retry_after_s


class OutboundError(HedgerowError, OSError):
    """A connection that an app asked for beyond its budget; with EMFILE, as at the end of a process's descriptors."""


class DeadlineError(BaseException):
    """Raised in a request whose time is over, where it waits. No Exception, which many apps catch and go on."""


class Place(NamedTuple):
    """A line of an app's own code. path: where it was read; name: how its author calls it, as `blog/models.py`."""

    path: str
    name: str
    line: int
    function: str


class LoadError(HedgerowError):
    """An app that cannot be loaded. sentence: what and where, in one line; traceback: the whole text, or empty;
    places: the lines of the app's own that led there, the innermost first.
    """

    def __init__(self, sentence: str, traceback: str = "", places: tuple[Place, ...] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.traceback = traceback
        self.places = places
