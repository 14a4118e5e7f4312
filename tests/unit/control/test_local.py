"""What a command line finds on this machine, with real sockets and folders."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgerow.control import local
from hedgerow.errors import UserError

HOST = "127.0.0.1"


@pytest.fixture
def four() -> Iterator[int]:
    """The first of four free ports in a row."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            first: int = probe.getsockname()[1]
        if first < 65000 and all(local.is_free(HOST, first + n) for n in range(4)):
            yield first
            return


def test_the_addresses_keep_away_from_the_port_of_the_front(four: int) -> None:
    assert local.free_ports(HOST, four, 2, given=(0,)) == four
    assert local.free_ports(HOST, four, 2, given=(four,)) == four + 1
    assert local.free_ports(HOST, four, 2, given=(four + 1,)) == four + 2


def test_the_last_ports_there_are_can_be_used() -> None:
    if not local.is_free(HOST, 65535):
        pytest.fail("this test needs port 65535")
    assert local.free_ports(HOST, 65535, 1, given=(0,)) == 65535
    with pytest.raises(UserError, match="no 2 free ports"):
        local.free_ports(HOST, 65535, 2, given=(0,))


def test_a_port_that_is_taken_is_told_as_that(four: int) -> None:
    local.check_port(HOST, four)
    with socket.socket() as other:
        other.bind((HOST, four))
        other.listen()
        with pytest.raises(UserError, match=f"port {four} is in use by somebody else"):
            local.check_port(HOST, four)


def test_a_port_that_is_not_for_this_user_is_told_as_that() -> None:
    child = os.fork()
    if child == 0:  # the rights are given up in a process of its own
        code = 1
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            local.check_port(HOST, 1)
        except UserError as error:
            code = 0 if "this user may not listen there" in str(error) else 2
        finally:
            os._exit(code)
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    expected = 0 if limit > 1 else 1  # a machine may give every port to everybody
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == expected
