"""Whether the other end of a socket is still there, told by the kernel without reading or sending."""

from __future__ import annotations

import _socket
import select

from gevent import monkey

_poll = monkey.get_original("select", "poll")  # the patched one lets others run
GONE = select.POLLHUP | select.POLLERR
# "The other end sends no more". TCP tells a client that closed and one that only closed its sending half by the same
# packet, so there it counts as gone; a unix socket tells the two apart. A worker that sends on to us says by it that
# its client has closed.
GONE_TCP = GONE | getattr(select, "POLLRDHUP", 0)


def has_gone(sock: _socket.socket, half: bool = False) -> bool:
    """Whether the peer has closed or reset its end; seen at once, however much of what it sent is unread. half: its
    sending half is enough.
    """
    watched = _poll()
    watched.register(sock.fileno(), GONE if sock.family == _socket.AF_UNIX and not half else GONE_TCP)
    return bool(watched.poll(0))
