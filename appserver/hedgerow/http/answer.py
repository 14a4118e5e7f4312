"""Another server's answer, as its bytes come: a state that `httptools` calls back into. It touches no socket.

What its fields mean to who sends it on, and which of them go on, is a subclass's (`settled`).
"""

from __future__ import annotations

from typing import ClassVar

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_HEAD_BYTES = 262_144
CONTINUE, SWITCHING, FIRST_FINAL = 100, 101, 200


class AnswerReader:
    """The answer to one request of this method. Trailers are read and dropped, and so are 1xx answers but for a 101.

    begun: a byte of it has come; invited: 100 Continue has; head: all of the head of the final answer, or of a 101;
    complete: of the body, too; keep: another may follow on the connection; rest: what came behind a 101; status,
    reason, headers: of that head.
    """

    broken: ClassVar[type[Exception]]  # what is raised, with a sentence, where it is no answer

    __slots__ = (
        "_blocks", "_framed", "_head_bytes", "_is_head", "_parser", "_reason",
        "begun", "complete", "head", "headers", "invited", "keep", "reason", "rest", "status",
    )  # fmt: skip

    def __init__(self, method: str) -> None:
        self._is_head = method == "HEAD"
        self._parser = HttpResponseParser(self)
        self._blocks: list[bytes] = []
        self._head_bytes = 0
        self._reason = b""
        self._framed = False  # the head says where the body ends
        self.begun = self.invited = self.head = self.complete = self.keep = False
        self.rest = b""
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        state = "complete" if self.complete else "body" if self.head else "head" if self.begun else "nothing"
        return f"<{type(self).__name__} {self.status or '---'} {state}>"

    def settled(self) -> None:
        """The head has come whole: for a subclass, which may change headers."""

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection. Raises what `broken` says if they are no answer's."""
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
                raise self.broken(f"its answer is no HTTP: {error}") from None
        if not self.head and self._head_bytes > MAX_HEAD_BYTES:
            raise self.broken(f"the head of its answer is too large, more than {MAX_HEAD_BYTES} bytes")

    def end(self) -> None:
        """The connection has ended, and with it an answer that says nothing else. Raises what `broken` says if none."""
        self.keep = False
        if self.head and not self._framed:
            self.complete = True
        if not self.complete:
            raise self.broken("its answer ended early" if self.head else "the connection ended before its answer")

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
        if not self.head:
            self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head:  # else it is a trailer, or behind the end
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self.head:
            return
        status = self._parser.get_status_code()
        if status < FIRST_FINAL and status != SWITCHING:
            self.invited = self.invited or status == CONTINUE
            self.headers.clear()
            self._reason = b""
            return
        self.status, self.reason = status, self._reason.decode("latin-1")
        self.head = True
        self._framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in self.headers)
        self.keep = status != SWITCHING and self._parser.should_keep_alive()  # behind a 101 it is HTTP's no more
        self.complete = self._is_head  # whatever the head says of a body
        self.settled()

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.keep = False  # a body where none belongs
        else:
            self._blocks.append(data)

    def on_message_complete(self) -> None:
        self.complete = self.complete or self.head
