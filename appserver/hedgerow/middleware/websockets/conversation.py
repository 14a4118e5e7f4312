"""One WebSocket conversation (RFC 6455), as its bytes come: what the client said, what it gets, and how it ends.

`wsproto` knows frames; what is decided here is how large a message may be, when a silent client is asked whether it is
still there, and with which code the conversation ends. It touches no socket, waits for nobody and knows the time only
as it is told. What it wants sent lies in `outgoing`.
"""

from __future__ import annotations

import io
import sys
from collections import deque
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

# The codes of RFC 6455 section 7.4.1 that somebody says here.
NORMAL, GOING_AWAY, LOST, TOO_BIG, FAILED = 1000, 1001, 1006, 1009, 1011
_NO_CODE = 1005
_MAY_BE_SAID = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013})
MAX_CONTROL_BYTES = 125
MAX_REASON_BYTES = MAX_CONTROL_BYTES - 2
MAX_PONGS_BYTES = 4096  # unsent; beyond them only the latest ping is answered (RFC 6455 section 5.5.3)
MESSAGE_BYTES = 16  # that one which waits costs beside the object itself


class Closed(ConnectionError):
    """The conversation is over. code, reason: of the side that ended it, 1005 if the client gave no code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the WebSocket is closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason

    def afresh(self) -> Closed:
        """One to raise: it holds on to the frames that it passes, and they to the conversation that keeps this one."""
        return type(self)(self.code, self.reason)


class GoingAway(Closed):
    """The worker is about to end, or its app has another release: the client was told 1001, and may come again."""


class Fault(Closed):
    """The client sent what is no WebSocket (1002), no UTF-8 (1007), or too large (1009), and was told so."""


class Lost(Closed):
    """1006: the client has gone without a word, or answers no ping."""


class Conversation:
    """See the module's docstring. ping_every_s: 0 for never; now: the time, as every later one.

    messages: whole ones, that nobody has had; outgoing: bytes for the client; ended: how, as soon as nothing more
    comes or is said.
    """

    def __init__(self, max_message_bytes: int, ping_every_s: float, close_timeout_s: float, now: float) -> None:
        self.messages: deque[str | bytes] = deque()
        self.outgoing = bytearray()
        self.ended: Closed | None = None
        self._frames = Connection(ConnectionType.SERVER)
        self._max_message_bytes = max_message_bytes
        self._ping_every_s = ping_every_s
        self._close_timeout_s = close_timeout_s
        self._heard = now  # when anything came
        self._asked = False  # whether it was asked since then
        self._closing: tuple[Closed, float] | None = None  # what we have said, and until when we wait for the answer
        self._begun: io.StringIO | io.BytesIO | None = None  # a message
        self._begun_bytes = 0
        self._waiting_bytes = 0  # of memory, for messages
        self._pongs_bytes = 0  # in `outgoing`, and where there the last of them ends
        self._pongs_end = 0
        self._unanswered: Ping | None = None  # the latest ping, while there are too many pongs

    def __repr__(self) -> str:
        state = "closed" if self.ended is not None else "closing" if self._closing is not None else "open"
        return f"<Conversation {state} {len(self.messages)} messages, {self._begun_bytes} bytes of one>"

    @property
    def is_open(self) -> bool:
        """Whether something may still be said."""
        return self.ended is None and self._closing is None

    @property
    def outcome(self) -> Closed | None:
        """How it ended, or will, since that has been said; None while it is open."""
        return self._closing[0] if self._closing is not None else self.ended

    @property
    def is_full(self) -> bool:
        """Whether the app should take messages before more is read."""
        return self._waiting_bytes > self._max_message_bytes

    # What comes.

    def feed(self, data: bytes, now: float) -> None:
        """Bytes of the client's; b"" at their end."""
        if self.ended is not None:
            return
        self._heard, self._asked = now, False
        if not data:
            self._end(Lost(LOST, "the client has gone"))
            return
        self._frames.receive_data(data)
        for event in self._frames.events():
            if not self._on_event(event):
                break

    def _on_event(self, event: Event) -> bool:
        """Whether more may come."""
        if isinstance(event, Message):
            self._on_part(event)
        elif isinstance(event, Ping):
            self._on_ping(event)
        elif isinstance(event, CloseConnection):
            self._on_close(event)
        return self.ended is None

    def _on_part(self, part: Message[Any]) -> None:
        """Of a message: as much as has come, which may be less than a frame."""
        if self._closing is not None:
            return
        data = part.data
        self._begun_bytes += len(data) if not isinstance(data, str) or data.isascii() else len(data.encode())
        if self._begun_bytes > self._max_message_bytes:
            self._fail(Fault(TOO_BIG, f"a message has at most {self._max_message_bytes} bytes"))
            return
        if self._begun is None:
            self._begun = io.StringIO(newline="") if isinstance(part, TextMessage) else io.BytesIO()
        self._begun.write(data)
        if part.message_finished:
            self.messages.append(self._begun.getvalue())
            self._waiting_bytes += _cost(self.messages[-1])
            self._begun, self._begun_bytes = None, 0

    def _on_ping(self, event: Ping) -> None:
        """A client that asks and does not read must not fill our memory with answers."""
        if self._closing is not None:
            return
        if self._pongs_bytes > MAX_PONGS_BYTES:
            self._unanswered = event
            return
        before = len(self.outgoing)
        self._say(event.response())
        self._pongs_end = len(self.outgoing)
        self._pongs_bytes += self._pongs_end - before

    def _on_close(self, event: CloseConnection) -> None:
        reason = event.reason or ""
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self._fail(Fault(int(event.code), reason))  # wsproto's word for what is no WebSocket
        elif self._closing is not None:
            self._end(self._closing[0])
        else:
            self._say(event.response())
            self._end(Closed(int(event.code), reason))

    def _fail(self, fault: Fault) -> None:
        """Nothing of what comes can be understood any more, so no answer is waited for (section 7.1.7)."""
        if self._closing is None:
            self._say(CloseConnection(fault.code, fault.reason))
        self._end(fault)

    def _end(self, how: Closed) -> None:
        self.ended = how if self._closing is None else self._closing[0]
        self._begun = None

    # What the app says.

    def take(self) -> str | bytes | None:
        """The next message, if there is one."""
        if not self.messages:
            return None
        message = self.messages.popleft()
        self._waiting_bytes = self._waiting_bytes - _cost(message) if self.messages else 0
        return message

    def send(self, message: str | bytes) -> None:
        """A whole message: text or bytes. Raises Closed."""
        if not isinstance(message, str | bytes | bytearray | memoryview):
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        self._check_open()
        if isinstance(message, str):
            self._say(TextMessage(message))
        else:
            self._say(BytesMessage(bytes(message)))

    def ping(self, payload: bytes = b"") -> None:
        """Raises Closed."""
        if len(payload) > MAX_CONTROL_BYTES:
            raise ValueError(f"a ping has at most {MAX_CONTROL_BYTES} bytes")
        self._check_open()
        self._say(Ping(payload))

    def close(self, how: Closed, now: float) -> None:
        """Say that it is over, unless it is. Messages that have come are kept; later ones are not."""
        check_close(how.code, how.reason)
        if self.is_open:
            code = CloseReason.NO_STATUS_RCVD if how.code == _NO_CODE else how.code
            self._say(CloseConnection(code, how.reason or None))
            self._closing = how, now + self._close_timeout_s
            self._begun = None

    def _check_open(self) -> None:
        if (outcome := self.outcome) is not None:
            raise outcome.afresh()

    def _say(self, event: Event) -> None:
        self.outgoing += self._frames.send(event)

    def sent(self, count: int) -> None:
        """So many bytes of `outgoing` have left."""
        del self.outgoing[:count]
        self._pongs_end -= count
        if self._pongs_end <= 0:
            self._pongs_bytes = self._pongs_end = 0
            ping, self._unanswered = self._unanswered, None
            if ping is not None and self.is_open:
                self._on_ping(ping)

    # Time.

    @property
    def look_at(self) -> float:
        """When `tick` has something to do, if nothing comes."""
        if self._closing is not None:
            return self._closing[1]
        return self._heard + (1 + self._asked) * self._ping_every_s if self._ping_every_s else float("inf")

    def tick(self, now: float) -> None:
        """Time has passed: ask a silent client, or give it up."""
        if self.ended is not None or now < self.look_at:
            return
        if self._closing is not None:
            self._end(self._closing[0])
        elif self._asked:
            self._end(Lost(LOST, "the client answers no ping"))
        else:
            self._asked = True
            self._say(Ping())


def check_close(code: int, reason: str) -> None:
    """Raises ValueError for what no Close frame can say."""
    if code not in _MAY_BE_SAID and not 3000 <= code <= 4999 and code != _NO_CODE:
        raise ValueError(f"{code} is no code to close with: 1000, 3000 to 4999 are an app's")
    if code == _NO_CODE and reason:
        raise ValueError("a reason needs a code")
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise ValueError(f"a reason has at most {MAX_REASON_BYTES} bytes")


def _cost(message: str | bytes) -> int:
    return sys.getsizeof(message) + MESSAGE_BYTES
