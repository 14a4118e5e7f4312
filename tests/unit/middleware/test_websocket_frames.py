"""What a hostile client can send over a WebSocket, and what it is told: each row fed whole, byte by byte, and with more
behind it. Then what is no fault at all, however odd.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from hedgerow.middleware.websockets.conversation import Closed, Conversation, Fault

LARGEST = 1000
UTF_8 = "κόσμε 🌿".encode()

# What is sent → the code that the client is told, and what the app had got by then.
Row = tuple[bytes, int, list[str | bytes]]
HOSTILE: dict[str, Row] = {
    # Heads.
    "reserved bit 1": (frame(TEXT, b"x", reserved=4), 1002, []),
    "reserved bit 2": (frame(TEXT, b"x", reserved=2), 1002, []),
    "reserved bit 3": (frame(BINARY, b"x", reserved=1), 1002, []),
    "all reserved bits": (frame(BINARY, b"x", reserved=7), 1002, []),
    "reserved bit of a ping": (frame(PING, b"x", reserved=4), 1002, []),
    "reserved bit of a pong": (frame(PONG, b"x", reserved=2), 1002, []),
    "reserved bit of a close": (frame(CLOSE, b"\x03\xe8", reserved=1), 1002, []),
    "reserved bit of a continuation": (
        frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", reserved=4), 1002, []
    ),
    **{f"reserved opcode {opcode:#x}": (frame(opcode, b"x"), 1002, []) for opcode in (3, 4, 5, 6, 7)},
    **{f"reserved control opcode {opcode:#x}": (frame(opcode, b"x"), 1002, []) for opcode in (11, 12, 13, 14, 15)},
    "reserved opcode without a payload": (frame(3), 1002, []),
    "reserved opcode behind a message": (frame(TEXT, b"first") + frame(7, b"x"), 1002, ["first"]),
    "unmasked text": (frame(TEXT, b"x", mask=b""), 1002, []),
    "unmasked and empty": (frame(BINARY, mask=b""), 1002, []),
    "unmasked ping": (frame(PING, b"x", mask=b""), 1002, []),
    "unmasked close": (frame(CLOSE, b"\x03\xe8", mask=b""), 1002, []),
    "unmasked continuation": (frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", mask=b""), 1002, []),
    # Control frames.
    "fragmented ping": (frame(PING, b"x", fin=False), 1002, []),
    "fragmented pong": (frame(PONG, b"x", fin=False), 1002, []),
    "fragmented close": (frame(CLOSE, b"\x03\xe8", fin=False), 1002, []),
    "empty fragmented ping": (frame(PING, fin=False), 1002, []),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002, []),
    "pong of 126 bytes": (frame(PONG, b"x" * 126), 1002, []),
    "close of 126 bytes": (close(1000, b"x" * 124), 1002, []),
    "ping of 70,000 bytes": (frame(PING, b"x" * 70_000), 1002, []),
    "short ping with a length of two bytes": (frame(PING, b"x", length=b"\x7e\x00\x01"), 1002, []),
    "short ping with a length of eight bytes": (frame(PING, b"x", length=b"\x7f" + bytes(7) + b"\x01"), 1002, []),
    # Lengths.
    "two bytes of length for 0": (frame(TEXT, b"", length=b"\x7e\x00\x00"), 1002, []),
    "two bytes of length for 125": (frame(TEXT, b"x" * 125, length=b"\x7e\x00\x7d"), 1002, []),
    "eight bytes of length for 5": (frame(TEXT, b"x" * 5, length=b"\x7f" + bytes(7) + b"\x05"), 1002, []),
    "eight bytes of length for 200": (frame(TEXT, b"x" * 200, length=b"\x7f" + bytes(7) + b"\xc8"), 1002, []),
    "eight bytes of length for 65,535": (frame(BINARY, b"", length=b"\x7f" + bytes(6) + b"\xff\xff"), 1002, []),
    "length with its highest bit": (frame(BINARY, b"x", length=b"\x7f\x80" + bytes(7)), 1002, []),
    "length of all bits": (frame(BINARY, b"x", length=b"\x7f" + b"\xff" * 8), 1002, []),
    # Fragments.
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002, []),
    "unfinished continuation of nothing": (frame(CONTINUATION, b"x", fin=False), 1002, []),
    "continuation behind a whole message": (frame(TEXT, b"whole") + frame(CONTINUATION, b"x"), 1002, ["whole"]),
    "text within a text": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002, []),
    "text within a binary": (frame(BINARY, b"a", fin=False) + frame(TEXT, b"b"), 1002, []),
    "binary within a text": (frame(TEXT, b"a", fin=False) + frame(BINARY, b"b", fin=False), 1002, []),
    "text within a text, behind a ping": (
        frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(TEXT, b"b"), 1002, []
    ),
    "empty text within an empty one": (frame(TEXT, fin=False) + frame(TEXT), 1002, []),
    # UTF-8.
    "byte that UTF-8 has not": (frame(TEXT, b"\xff"), 1007, []),
    "continuation byte alone": (frame(TEXT, b"\x80"), 1007, []),
    "overlong slash": (frame(TEXT, b"\xc0\xaf"), 1007, []),
    "overlong NUL": (frame(TEXT, b"\xe0\x80\x80"), 1007, []),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007, []),
    "pair of surrogates": (frame(TEXT, b"\xed\xa0\xbd\xed\xb8\x80"), 1007, []),
    "beyond the last code point": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007, []),
    "code point of five bytes": (frame(TEXT, b"\xf8\x88\x80\x80\x80"), 1007, []),
    "cut off at the end": (frame(TEXT, UTF_8[:-1]), 1007, []),
    "cut off at the end of the last fragment": (
        frame(TEXT, UTF_8[:2], fin=False) + frame(CONTINUATION, UTF_8[2:-2]), 1007, []
    ),
    "wrong from the second fragment on": (
        frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"a"), 1007, []
    ),
    "wrong over three fragments and a ping": (
        frame(TEXT, b"\xf4", fin=False) + frame(CONTINUATION, b"\x90", fin=False) + frame(PING)
        + frame(CONTINUATION, b"\x80\x80"), 1007, []
    ),
    "wrong in a fragment that does not end": (frame(TEXT, b"ok\xfe", fin=False), 1007, []),
    # Closes.
    "close of one byte": (frame(CLOSE, b"\x03"), 1002, []),
    **{
        f"close with {code}": (close(code), 1002, [])
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "close with a reason that is no UTF-8": (close(1000, b"\xff"), 1007, []),
    "close with a reason that is cut off": (close(3000, UTF_8[:-1]), 1007, []),
    # Sizes.
    "text too large": (frame(TEXT, b"x" * (LARGEST + 1)), 1009, []),
    "binary too large": (frame(BINARY, b"x" * 70_000), 1009, []),
    "too large in fragments": (
        frame(BINARY, b"x" * LARGEST, fin=False) + frame(CONTINUATION, b"x", fin=False), 1009, []
    ),
    "too large in fragments of a byte": (
        frame(BINARY, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * LARGEST, 1009, []
    ),
    "too large, counted in bytes": (frame(TEXT, "ü".encode() * (LARGEST // 2 + 1)), 1009, []),
    "too large, and says it is larger still": (
        frame(BINARY, b"x" * (LARGEST + 1), length=b"\x7f" + struct.pack("!Q", 2**62)), 1009, []
    ),
    "too large behind one that is not": (
        frame(BINARY, b"x" * LARGEST) + frame(BINARY, b"x" * (LARGEST + 1)), 1009, [b"x" * LARGEST]
    ),
}  # fmt: skip


class Heard(NamedTuple):
    messages: list[str | bytes]
    events: list[Event]
    ended: Closed | None


def converse(*blocks: bytes) -> Heard:
    """What the app gets, and what a strict client hears."""
    talk = Conversation(LARGEST, 0, 5, 0.0)
    client = Connection(ConnectionType.CLIENT)
    events: list[Event] = []
    for block in blocks:
        talk.feed(block, 0.0)
        client.receive_data(bytes(talk.outgoing)) if talk.outgoing else None
        talk.sent(len(talk.outgoing))
        events += client.events()
    messages = []
    while (message := talk.take()) is not None:
        messages.append(message)
    return Heard(messages, events, talk.ended)


def one_by_one(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("way", ["whole", "byte by byte", "with more behind"])
def test_a_hostile_frame_ends_the_conversation_with_its_code(name: str, way: str) -> None:
    data, code, messages = HOSTILE[name]
    ways = {"whole": [data], "byte by byte": one_by_one(data), "with more behind": [data + frame(TEXT, b"more"), data]}
    heard = converse(*ways[way])
    [told] = [event for event in heard.events if isinstance(event, CloseConnection)]
    assert told.code == code
    assert heard.messages == messages, "what was sent before it is the app's; nothing behind it is"
    assert isinstance(heard.ended, Fault)
    assert heard.ended.code == code


def test_a_faulty_message_is_not_kept() -> None:
    talk = Conversation(LARGEST, 0, 5, 0.0)
    talk.feed(frame(BINARY, b"x" * LARGEST, fin=False), 0.0)
    assert repr(talk) == f"<Conversation open 0 messages, {LARGEST} bytes of one>"
    talk.feed(frame(CONTINUATION, b"x"), 0.0)
    assert repr(talk).startswith("<Conversation closed 0 messages")
    assert talk._begun is None


def test_a_fault_while_we_close_is_the_end_that_we_have_said() -> None:
    talk = Conversation(LARGEST, 0, 5, 0.0)
    talk.close(Closed(4000, "enough"), 0.0)
    talk.feed(frame(TEXT, b"\xff"), 0.0)
    assert talk.ended is not None
    assert (talk.ended.code, talk.ended.reason) == (4000, "enough")


# --- odd, and sound ---------------------------------------------------------------------------------------------------

SOUND: dict[str, tuple[bytes, list[str | bytes]]] = {
    "empty text": (frame(TEXT), [""]),
    "empty binary": (frame(BINARY), [b""]),
    "mask of zeros": (frame(TEXT, b"x", mask=bytes(4)), ["x"]),
    "text as large as may be": (frame(TEXT, b"x" * LARGEST), ["x" * LARGEST]),
    "text in fragments of a byte": (
        frame(TEXT, UTF_8[:1], fin=False)
        + b"".join(frame(CONTINUATION, one, fin=False) for one in one_by_one(UTF_8[1:]))
        + frame(CONTINUATION),
        [UTF_8.decode()],
    ),
    "empty fragments": (frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 5000 + frame(CONTINUATION), [b""]),
    "line ends as they are": (frame(TEXT, b"a\r\nb\rc\n"), ["a\r\nb\rc\n"]),
    "the last code point": (frame(TEXT, "\U0010ffff".encode()), ["\U0010ffff"]),
    "NUL": (frame(TEXT, b"\0"), ["\0"]),
    "pongs that nobody asked for": (frame(PONG, b"x") + frame(PONG), []),
    "ping between two fragments": (
        frame(TEXT, b"a", fin=False) + frame(PING, b"now") + frame(CONTINUATION, b"b"), ["ab"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SOUND))
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_odd_and_sound_arrives(name: str, whole: bool) -> None:
    data, messages = SOUND[name]
    heard = converse(*([data] if whole else one_by_one(data)))
    assert heard.messages == messages
    assert heard.ended is None
    assert [type(event) for event in heard.events if not isinstance(event, Pong)] == []


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_a_close_is_answered_with_its_code(code: int) -> None:
    heard = converse(close(code, b"that is why") + frame(TEXT, b"behind it"))
    [told] = heard.events
    assert isinstance(told, CloseConnection)
    assert told.code == code
    assert heard.messages == []
    assert heard.ended is not None
    assert (type(heard.ended), heard.ended.code, heard.ended.reason) == (Closed, code, "that is why")


def test_a_close_without_a_code_is_1005_to_the_app() -> None:
    heard = converse(frame(CLOSE))
    assert [type(event) for event in heard.events] == [CloseConnection]
    assert heard.ended is not None
    assert heard.ended.code == 1005


def test_each_ping_is_answered_in_order_with_what_it_has() -> None:
    payloads = [b"", b"one", b"x" * 125]
    heard = converse(b"".join(frame(PING, payload) for payload in payloads))
    assert [bytes(event.payload) for event in heard.events if isinstance(event, Pong)] == payloads


def test_a_client_that_asks_and_does_not_read_does_not_fill_the_memory() -> None:
    """Beyond some pongs only the latest ping is answered, once those have left."""
    talk = Conversation(LARGEST, 0, 5, 0.0)
    talk.send("x" * 70_000)
    for number in range(10_000):
        talk.feed(frame(PING, str(number).encode()), 0.0)
    assert len(talk.outgoing) < 80_000
    client = Connection(ConnectionType.CLIENT)
    while talk.outgoing:
        client.receive_data(bytes(talk.outgoing[:1000]))
        talk.sent(len(talk.outgoing[:1000]))
    answered = [bytes(event.payload) for event in client.events() if isinstance(event, Pong)]
    assert answered == [str(number).encode() for number in (*range(len(answered) - 1), 9999)]
    talk.feed(frame(PING, b"again"), 0.0)
    assert bytes(talk.outgoing).endswith(b"again")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_empty_messages_that_wait_are_counted_too(opcode: int) -> None:
    talk = Conversation(LARGEST, 0, 5, 0.0)
    talk.feed(frame(opcode) * 50, 0.0)
    assert talk.is_full
    while talk.take() is not None:
        assert not talk.messages or talk._waiting_bytes > 0
    assert not talk.is_full


# --- what the app may say ---------------------------------------------------------------------------------------------


def test_what_the_app_says_arrives() -> None:
    talk = Conversation(LARGEST, 0, 5, 0.0)
    for message in ("tëxt", b"bytes", bytearray(b"more"), memoryview(b"still more"), "x" * 70_000):
        talk.send(message)  # type: ignore[arg-type]
    talk.ping(b"there")
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(bytes(talk.outgoing))
    told = [(type(event), event.data) for event in client.events() if isinstance(event, TextMessage | BytesMessage)]
    assert told == [
        (TextMessage, "tëxt"), (BytesMessage, b"bytes"), (BytesMessage, b"more"), (BytesMessage, b"still more"),
        (TextMessage, "x" * 70_000),
    ]  # fmt: skip


@pytest.mark.parametrize("message", [None, 1, ["x"], {"a": 1}])
def test_what_is_no_message_is_the_apps_mistake(message: object) -> None:
    with pytest.raises(TypeError, match="a message is str or bytes"):
        Conversation(LARGEST, 0, 5, 0.0).send(message)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        *((code, "", "no code") for code in (999, 1004, 1006, 1015, 2999, 5000)),
        (1005, "why", "needs a code"),
        (1000, "ü" * 62, "at most 123 bytes"),
    ],
)
def test_a_close_that_cannot_be_said_is_the_apps_mistake(code: int, reason: str, said: str) -> None:
    talk = Conversation(LARGEST, 0, 5, 0.0)
    with pytest.raises(ValueError, match=said):
        talk.close(Closed(code, reason), 0.0)
    assert talk.is_open


def test_nothing_is_said_behind_a_close() -> None:
    talk = Conversation(LARGEST, 0, 5, 0.0)
    talk.close(Closed(1000), 0.0)
    said = len(talk.outgoing)
    for say in (lambda: talk.send("x"), talk.ping):
        with pytest.raises(Closed):
            say()
    talk.close(Closed(1000), 0.0)
    talk.feed(frame(PING, b"x"), 0.0)
    assert len(talk.outgoing) == said


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_silent_client_is_asked_once_and_then_given_up() -> None:
    talk = Conversation(LARGEST, 30, 5, now=100.0)
    assert talk.look_at == 130.0
    talk.tick(129.9)
    assert talk.outgoing == b""
    talk.tick(130.0)
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(bytes(talk.outgoing))
    assert [type(event) for event in client.events()] == [Ping]
    talk.tick(159.9)
    assert talk.ended is None
    talk.tick(160.0)
    assert talk.ended is not None
    assert talk.ended.code == 1006


def test_whatever_a_client_says_shows_that_it_is_there() -> None:
    talk = Conversation(LARGEST, 30, 5, now=100.0)
    talk.tick(130.0)
    talk.feed(frame(PONG), 140.0)
    assert talk.look_at == 170.0


def test_a_client_that_does_not_answer_a_close_is_waited_for_so_long() -> None:
    talk = Conversation(LARGEST, 30, 5, now=100.0)
    talk.close(Closed(1000), 110.0)
    assert talk.look_at == 115.0
    talk.tick(115.0)
    assert talk.ended is not None
    assert talk.ended.code == 1000
