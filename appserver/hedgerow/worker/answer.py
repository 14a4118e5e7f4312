"""The answer of a pool, as it comes: a state that `httptools` calls back into. It touches no socket."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .transfer import BrokenOff

MAX_HEAD_BYTES = 262_144
# Between the pool and us alone; our answer is framed anew.
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
CONTINUE, SWITCHING, FIRST_FINAL = 100, 101, 200


class Answer:
    """One answer to a request of this method.

    status, reason, headers: of the final answer, or of a 101; headers without hop-by-hop ones, but for the Upgrade of a
    101; begun: a byte has come; invited: 100 Continue has; head: all of the head has; complete: all of the body, too;
    keep: the connection may go on behind it; rest: what came behind a 101; refused: it is a worker's refusal before
    entry, if who sent it can be believed; cause: of the refusal.
    """

    __slots__ = (
        "_blocks", "_chunked", "_head_bytes", "_is_head", "_lengthy", "_parser", "_reason", "_upgrade",
        "begun", "cause", "complete", "head", "headers", "invited", "keep", "reason", "refused", "rest", "status",
    )  # fmt: skip

    def __init__(self, method: str) -> None:
        self._is_head = method == "HEAD"
        self._parser = HttpResponseParser(self)
        self._blocks: list[bytes] = []
        self._head_bytes = 0
        self._reason = b""
        self._chunked = self._lengthy = False
        self._upgrade = ""
        self.begun = self.invited = self.head = self.complete = self.keep = False
        self.refused = False
        self.cause = "full"
        self.rest = b""
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        state = "complete" if self.complete else "body" if self.head else "head" if self.begun else "nothing"
        return f"<Answer {self.status or '---'} {state}>"

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection. Raises BrokenOff if they are no answer."""
        self.begun = True
        if not self.head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except HttpParserError as error:
            self.keep = False
            if not self.complete:  # else it is about what comes behind
                raise BrokenOff(f"its answer is no HTTP: {error}") from None
        if not self.head and self._head_bytes > MAX_HEAD_BYTES:
            raise BrokenOff("the head of its answer is too large")

    def end(self) -> None:
        """The connection has ended. Raises BrokenOff unless the answer has, with it."""
        if self.head and not self.complete and not self._chunked and not self._lengthy:
            self.complete = True
        if not self.complete:
            raise BrokenOff("its answer ended early" if self.head else "the connection ended before its answer")

    def take(self) -> bytes:
        """What has come of the body since the last call."""
        blocks = self._blocks
        if not blocks:
            return b""
        self._blocks = []
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep = False  # it speaks unasked

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head:
            return  # a trailer, or behind the end
        key = name.decode("latin-1")
        lower = key.lower()
        text = value.decode("latin-1")
        if lower in _HOP_BY_HOP:
            self._chunked = self._chunked or lower == "transfer-encoding"
            if lower == "upgrade":
                self._upgrade = text
            return
        if lower == "content-length":
            self._lengthy = True
        elif lower == "x-accel-redirect":
            self.refused = text == "@refused"
        elif lower == "x-hedgerow-cause":
            self.cause = text
        self.headers.append((key, text))

    def on_headers_complete(self) -> None:
        if self.head:
            return
        parser = self._parser
        status = parser.get_status_code()
        if status < FIRST_FINAL and status != SWITCHING:
            self.invited = self.invited or status == CONTINUE
            self._forget()
            return
        self.status, self.reason = status, self._reason.decode("latin-1")
        self.head = True
        if status == SWITCHING:
            self.headers.append(("Upgrade", self._upgrade))
        self.keep = parser.should_keep_alive()
        if self._is_head:
            self.complete = True  # whatever the head says of a body

    def _forget(self) -> None:
        self.headers.clear()
        self._reason = b""
        self._chunked = self._lengthy = False

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.keep = False  # a body where none belongs
        else:
            self._blocks.append(data)

    def on_message_complete(self) -> None:
        if self.head:
            self.complete = True
