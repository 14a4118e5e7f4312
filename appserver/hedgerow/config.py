"""The settings of an installation: each option is written once, here, with default, unit and one line of help.

The environment (`HEDGEROW_<NAME>`), the command line's options and the reference page come from this record. All
errors of a configuration are reported together.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UserError

ENV_PREFIX = "HEDGEROW_"
PORTS = (1, 65535)
HOUR_S = 3600


def _option(default: Any, help: str, unit: str = "", limits: tuple[float, float] | None = None) -> Any:
    """limits: the least and the greatest value of a number, which every number has."""
    metadata = {"help": help, "unit": unit, "limits": limits}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """What the processes of a replica agree on. Built by `from_env`, handed to child processes by `to_env`."""

    apps: Path = _option(Path("apps"), "folder whose sub-folders are the apps")
    state: Path = _option(Path(".hedgerow"), "the one writable folder: releases, app data, records, logs")
    secrets: Path = _option(Path("secrets"), "folder with a file <app>.env for each app that has secret variables")
    run: Path = _option(Path(""), "private folder for sockets and plans; empty: a short path made from `state`")
    replica: str = _option(socket.gethostname, "name of this replica, unique among those that share `state`")
    workers: int = _option(2, "addresses a replica has, each with one worker", limits=(1, 256))
    address_host: str = _option("127.0.0.1", "where the addresses listen")
    first_address: int = _option(8001, "port of the first address; the others follow", limits=PORTS)
    port: int = _option(8080, "port of the front", limits=PORTS)
    https: str = _option(
        "off", "on: with certificates of a folder; development: with ones made at the first start; off"
    )
    https_port: int = _option(8443, "port of HTTPS; the front's port then only sends clients there", limits=PORTS)
    https_public_port: int = _option(0, "the port of HTTPS as clients see it; 0: the same", limits=(0, 65535))
    https_names: str = _option("", "with development: further names and private addresses, parted by blanks or commas")
    certificates: Path = _option(
        Path(""), "folder with NAME.pem and NAME.key, or as certbot's `live`; development, empty: `https` in `state`"
    )
    hsts: int = _option(0, "how long browsers are to keep to HTTPS; 0: nothing is said", "s", limits=(0, 10**9 - 1))
    acme: Path = _option(Path(""), "folder of certbot's webroot, whose challenges plain HTTP answers; empty: none")
    hosts: str = _option("", "names of hosts that the front serves, *.example.org too; others get 421; empty: all")
    methods: str = _option("", "methods that the front lets through; others get 501; empty: all")
    client_rate: int = _option(
        0, "requests a second of one client's address, as many at once; more get 429; 0: no limit", limits=(0, 10_000)
    )
    client_connections: int = _option(
        0, "requests of one client's address at the same time; more get 429; 0: no limit", limits=(0, 10_000)
    )
    trusted_proxies: str = _option(
        "", "addresses and networks of proxies before the front, whose X-Forwarded-For and -Proto are believed"
    )
    proxy_protocol: bool = _option(False, "those proxies speak the PROXY protocol, which tells the client's address")
    security_headers: bool = _option(True, "the front adds security headers to answers that lack them; 0: it adds none")
    front: str = _option("", "HOST:PORT where the front tells its number of addresses; empty: do not ask")
    metrics_port: int = _option(
        0, "port beside the addresses on which GET /metrics is answered; 0: only on control sockets", limits=(0, 65535)
    )
    read_timeout_s: int = _option(
        310, "how long an address may say nothing before the front asks another one (GET) or gives up", "s",
        limits=(1, HOUR_S),
    )  # fmt: skip
    early_hints: bool = _option(
        False, "the front passes early hints (103) on to browsers that open a page; needs nginx 1.29"
    )
    cache_mb: int = _option(
        64, "what the front keeps of answers, for apps that say [cache]; 0: nothing", "MB", limits=(0, 65535)
    )
    trust_front: bool = _option(False, "believe X-Request-Id and X-Forwarded-*: only nginx reaches the addresses")
    drain_s: float = _option(
        6.5, "how long a leaving worker serves; above nginx's upstream keepalive_timeout", "s", limits=(0, HOUR_S)
    )
    swap_drain_s: float = _option(
        45.0, "how long a worker that another has taken over from serves what it has begun", "s", limits=(0, HOUR_S)
    )
    keepalive_s: float = _option(
        75.0, "how long an idle client connection is kept; above nginx's 5 s", "s", limits=(0.01, 24 * HOUR_S)
    )
    head_timeout_s: float = _option(
        20.0, "how long the head of a request may take to arrive", "s", limits=(0.01, HOUR_S)
    )
    body_idle_timeout_s: float = _option(
        60.0, "how long an app waits for the next bytes of a request's body", "s", limits=(0.01, HOUR_S)
    )
    body_timeout_s: float = _option(
        4.0 * HOUR_S, "how long a request's body may take to arrive whole; 0: any time", "s", limits=(0, 24 * HOUR_S)
    )
    write_timeout_s: float = _option(
        60.0, "how long an app waits for a client that takes nothing of its answer", "s", limits=(0.01, HOUR_S)
    )
    linger_s: float = _option(
        30.0, "how long a client may go on to send behind the last answer, so that it reads it", "s", limits=(0, HOUR_S)
    )
    app_running: int = _option(
        1000, "requests of one app that run at once in a worker; one more waits", limits=(1, 10**6)
    )
    app_waiting: int = _option(
        100, "requests of one app that wait for that in a worker; one more is refused before entry", limits=(0, 10**6)
    )
    app_wait_s: float = _option(
        5.0, "how long a request waits for that; then it is refused before entry", "s", limits=(0.01, HOUR_S)
    )
    app_connections: int = _option(
        2000,
        "outbound connections of one app in a shared worker, at most a quarter of its descriptors",
        limits=(1, 10**6),
    )
    app_per_remote: int = _option(
        1000, "of these to one host and port, or one unix socket, at most that quarter too", limits=(1, 10**6)
    )
    deadline_s: float = _option(
        60.0, "how long an app may take until its answer begins; then the request is ended", "s", limits=(0.1, 300)
    )
    idle_deadline_s: float = _option(
        300.0, "how long an app may send nothing of an answer that it has begun", "s", limits=(0.1, 300)
    )
    hub_limit_s: float = _option(
        2.0,
        "how long a request may keep all others of a shared worker from running; 0: for ever",
        "s",
        limits=(0, 300),
    )
    worker_requests: int = _option(
        0, "requests of a worker, more or less; then another takes its place; 0: any number", limits=(0, 10**12)
    )
    worker_age_s: float = _option(
        0.0, "how old a worker becomes, more or less; then another takes its place; 0: any age", "s", limits=(0, 10**9)
    )
    worker_growth_mb: int = _option(
        512, "what a worker's memory may grow by; then another takes its place; 0: any", "MB", limits=(0, 10**7)
    )
    worker_rest_s: float = _option(
        60.0, "how long a worker serves before one of these counts, growth from then on", "s", limits=(0.1, 10**6)
    )
    log_queue_lines: int = _option(
        10_000, "log lines that wait for a slow reader of stdout; one more is dropped and counted", limits=(1, 10**7)
    )
    max_head_bytes: int = _option(65_536, "request line and headers; beyond it 431", "bytes", limits=(256, 2**24))
    max_target_bytes: int = _option(16_384, "the request's target; beyond it 414", "bytes", limits=(1, 2**24))
    max_headers: int = _option(100, "header lines of a request; beyond it 431", "lines", limits=(1, 10**5))
    max_body_bytes: int = _option(2 * 1024**3, "request body; beyond it 413", "bytes", limits=(0, 2**62))
    max_drain_bytes: int = _option(
        2**20, "of a body that the app did not read, read over to keep the connection", "bytes", limits=(0, 2**40)
    )
    max_connections: int = _option(
        16_384, "client connections of a worker; one more is refused with 503", "connections", limits=(1, 10**6)
    )
    max_requests_per_connection: int = _option(
        1_000_000, "requests of one connection; the last answer closes it; 0: any number", "requests", limits=(0, 10**9)
    )
    pass_env: str = _option("", "names of variables that all apps get of the environment that the stack was started in")
    gateway: str = _option(
        "auto", "true: the addresses only send on, and the shared pool is behind them; auto: if it is called for"
    )
    pool_idle_s: float = _option(
        0.0, "an own pool that nobody asks so long has no worker until somebody does; 0: never", "s", limits=(0, 10**7)
    )
    access_log: bool = _option(True, "one line a request")
    show_errors: bool = _option(
        False, "answer errors with their traceback; set by `serve --reload`, without effect behind the front"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """The settings that `environ` tells, overridden by what is given and not None.

        Raises UserError with all mistakes together.
        """
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        errors: list[str] = []
        for option in dataclasses.fields(cls):
            name = ENV_PREFIX + option.name.upper()
            if given.get(option.name) is not None:
                values[option.name] = _as_it_lies(given[option.name])
            elif environ.get(name):
                try:
                    values[option.name] = _parse(hints[option.name], environ[name])
                except ValueError as error:
                    errors.append(f"{name}={environ[name]!r}: {error}")
        settings = cls(**values)  # with the defaults of what cannot be read, so that the other mistakes are told too
        errors += settings._mistakes()
        if errors:
            raise UserError("; ".join(errors))
        return settings._absolute()

    def to_env(self) -> dict[str, str]:
        """The environment variables that make `from_env` return an equal record."""
        return {ENV_PREFIX + f.name.upper(): _format(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @property
    def addresses(self) -> list[str]:
        """The names of the addresses: their ports as text."""
        return [str(self.first_address + n) for n in range(self.workers)]

    def _mistakes(self) -> list[str]:
        found = []
        for option in dataclasses.fields(self):
            value, limits = getattr(self, option.name), option.metadata["limits"]
            if limits and not limits[0] <= value <= limits[1]:  # so written it refuses nan, too
                found.append(f"{ENV_PREFIX}{option.name.upper()}={value}: not between {limits[0]} and {limits[1]}")
        if not found and self.first_address + self.workers - 1 > PORTS[1]:
            found.append(f"{self.workers} addresses from {self.first_address} on: there is no port above {PORTS[1]}")
        if self.https not in ("off", "on", "development"):
            found.append(f"{ENV_PREFIX}HTTPS={self.https!r}: off, on or development is wanted")
        if self.gateway not in ("auto", "true", "false"):
            found.append(f"{ENV_PREFIX}GATEWAY={self.gateway!r}: auto, true or false is wanted")
        if "/" in self.replica or self.replica.startswith("."):
            found.append(f"{ENV_PREFIX}REPLICA={self.replica!r}: it names a file, so no '/' and no leading '.'")
        return found

    def _absolute(self) -> Settings:
        state = self.state.absolute()
        run = self.run
        if run == Path(""):
            run = default_run(state)
        apps, secrets = self.apps.absolute(), self.secrets.absolute()
        certificates = self.certificates
        if certificates == Path("") and self.https == "development":
            certificates = state / "https"
        return dataclasses.replace(
            self,
            apps=apps,
            state=state,
            secrets=secrets,
            run=run.absolute(),
            certificates=certificates,
        )


def default_run(state: Path) -> Path:
    """A run folder that every command finds from `state` alone, short enough for the 107 bytes of a socket's path."""
    key = f"{os.stat(state).st_dev:x}-{os.stat(state).st_ino:x}" if state.exists() else "new"
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"hedgerow-{os.getuid()}-{key}"  # noqa: S108


def _parse(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in ("0", "1", "true", "false", "yes", "no", "on", "off"):
            raise ValueError("neither 0 nor 1")
        return text.lower() in ("1", "true", "yes", "on")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("not a number") from None
    return _as_it_lies(kind(text))


def _as_it_lies(value: Any) -> Any:
    """A path from the root on: `.` is a folder, while the empty path, which is equal to it, stands for none."""
    return value.absolute() if isinstance(value, Path) else value


def _format(value: Any) -> str:
    if value == Path(""):
        return ""  # and not "."
    return str(int(value)) if isinstance(value, bool) else str(value)
