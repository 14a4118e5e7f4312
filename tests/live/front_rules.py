"""What must hold of nginx's files and what no checker of the shelf looks for: pure functions over the parsed files.

A rule takes the tree of blocks and returns findings, as sentences. It must not know which files there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import crossplane

# Each server that clients reach has these, on its own level or above.
LIMITS = (
    "client_max_body_size", "client_body_buffer_size", "client_header_buffer_size", "large_client_header_buffers",
    "client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout", "http2_max_concurrent_streams",
)  # fmt: skip
# And these where something is sent on.
PROXY_LIMITS = ("proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "proxy_next_upstream_timeout")
# What HTTPS must say, since the defaults are an nginx's and an OpenSSL's own.
TLS = (
    "ssl_protocols",
    "ssl_ciphers",
    "ssl_session_cache",
    "ssl_session_timeout",
    "ssl_session_tickets",
    "ssl_early_data",
)
# Directives of which a block that has one inherits no other.
REPLACED = ("add_header", "proxy_set_header")


@dataclass
class Block:
    """One block and the directives in it: name → the arguments of each."""

    name: str
    parent: Block | None
    own: dict[str, list[list[str]]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def effective(self, directive: str) -> list[list[str]]:
        """Its own, else those of the nearest block around it that has some, as nginx inherits."""
        if directive in self.own:
            return self.own[directive]
        return self.parent.effective(directive) if self.parent else []

    def walk(self) -> Iterator[Block]:
        yield self
        for block in self.blocks:
            yield from block.walk()


def parsed(main: Path) -> Block:
    """The tree of a main file and all that it includes."""
    payload = crossplane.parse(str(main), combine=True, check_ctx=False)
    assert payload["status"] == "ok", payload["errors"]
    return _block("main", payload["config"][0]["parsed"], None)


def _block(name: str, lines: list[dict[str, object]], parent: Block | None) -> Block:
    made = Block(name, parent)
    for line in lines:
        directive, arguments = str(line["directive"]), list(line["args"])  # type: ignore[call-overload]
        made.own.setdefault(directive, []).append(arguments)
        if "block" in line:
            inside = line["block"]
            made.blocks.append(_block(" ".join([directive, *arguments]), inside, made))  # type: ignore[arg-type]
    return made


def servers(tree: Block) -> list[Block]:
    return [block for block in tree.walk() if block.name == "server"]


def public(tree: Block) -> list[Block]:
    """Those that answer any host on a port of all interfaces."""
    return [server for server in servers(tree) if any("default_server" in listen for listen in server.own["listen"])]


# --- the rules --------------------------------------------------------------------------------------------------------


def limits_are_set(tree: Block) -> list[str]:
    return [
        f"{_named(server)}: no {limit}" for server in public(tree) for limit in LIMITS if _lacks(server, limit)
    ] + [
        f"{block.name}: no {limit}"
        for block in tree.walk()
        if "proxy_pass" in block.own
        for limit in PROXY_LIMITS[: 4 if _in_public(block) else 3]
        if not block.effective(limit)
    ]  # fmt: skip


def nothing_is_unlimited(tree: Block) -> list[str]:
    return [
        f"{block.name}: {name} 0"
        for block in tree.walk()
        for name in (*LIMITS, *PROXY_LIMITS)
        if name in block.own and block.own[name][0][0] in ("0", "0s")
    ]


def tls_is_set(tree: Block) -> list[str]:
    return [
        f"{_named(server)}: no {name}"
        for server in servers(tree)
        if any("ssl" in listen for listen in server.own["listen"])
        for name in TLS
        if not server.effective(name)
    ]


def old_protocols_are_off(tree: Block) -> list[str]:
    """OpenSSL's own level may keep them off as well, so a client cannot tell."""
    return [
        f"{block.name}: ssl_protocols {old}"
        for block in tree.walk()
        for line in block.own.get("ssl_protocols", [])
        for old in line
        if old not in ("TLSv1.2", "TLSv1.3")
    ]


def nothing_inherited_is_dropped(tree: Block) -> list[str]:
    """A block with a header of its own has all those again that it would have inherited."""
    found = []
    for block in tree.walk():
        for directive in REPLACED:
            if directive in block.own and block.parent is not None:
                lost = _keys(block.parent.effective(directive)) - _keys(block.own[directive])
                found += [f"{block.name}: {directive} drops {name}" for name in sorted(lost)]
    return found


def slashes_are_merged(tree: Block) -> list[str]:
    return _set_to(tree, "merge_slashes", "off")


def names_are_clean(tree: Block) -> list[str]:
    return _set_to(tree, "underscores_in_headers", "on") + _set_to(tree, "ignore_invalid_headers", "off")


def packets_are_full(tree: Block) -> list[str]:
    """Where files are sent. nginx looks at tcp_nopush when a connection is accepted; in a location it does nothing."""
    sending = [one for one in servers(tree) if any(inner.effective("sendfile") == [["on"]] for inner in one.walk())]
    return [f"{_named(one)}: no tcp_nopush" for one in sending if one.effective("tcp_nopush") != [["on"]]]


def nginx_tells_no_version(tree: Block) -> list[str]:
    return [f"{_named(one)}: server_tokens" for one in servers(tree) if one.effective("server_tokens") != [["off"]]]


RULES: tuple[Callable[[Block], list[str]], ...] = (
    limits_are_set, nothing_is_unlimited, tls_is_set, old_protocols_are_off, nothing_inherited_is_dropped,
    slashes_are_merged, names_are_clean, packets_are_full, nginx_tells_no_version,
)  # fmt: skip


def findings(main: Path) -> list[str]:
    tree = parsed(main)
    return [finding for rule in RULES for finding in rule(tree)]


def _lacks(server: Block, limit: str) -> bool:
    if limit == "http2_max_concurrent_streams" and not server.effective("http2"):
        return False
    return not server.effective(limit)


def _set_to(tree: Block, directive: str, value: str) -> list[str]:
    return [f"{block.name}: {directive} {value}" for block in tree.walk() if [value] in block.own.get(directive, [])]


def _in_public(block: Block) -> bool:
    return any("default_server" in listen for listen in block.effective("listen"))


def _keys(lines: list[list[str]]) -> set[str]:
    return {line[0].lower() for line in lines}


def _named(server: Block) -> str:
    return "server " + ", ".join(listen[0] for listen in server.own["listen"])
