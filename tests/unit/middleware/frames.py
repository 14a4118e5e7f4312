"""Frames of a WebSocket client as bytes, wrong ones too (RFC 6455 section 5.2)."""

from __future__ import annotations

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x11\x7f\x00\xe5"


def frame(
    opcode: int, payload: bytes = b"", fin: bool = True, reserved: int = 0, mask: bytes = MASK, length: bytes = b""
) -> bytes:
    """reserved: the bits RSV1 to RSV3 as a number up to 7; mask: b"" for none; length: instead of the right one, all of
    its bytes but for the mask bit.
    """
    first = bytes([fin << 7 | reserved << 4 | opcode])
    length = bytearray(length or right_length(len(payload)))
    if mask:
        length[0] |= 0x80
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return first + length + mask + payload


def right_length(size: int) -> bytes:
    if size < 126:
        return bytes([size])
    return b"\x7e" + struct.pack("!H", size) if size < 65_536 else b"\x7f" + struct.pack("!Q", size)


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)
