"""What an entry of the ledger tells: which releases are wanted and where they run, who holds the lease, what became of
the last deploys. Data, with what follows from it alone; it knows no files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..hosting.findings import Finding
from ..hosting.manifest import Canary as Terms
from .placement import AUTO, Known, Placement

LEASE_S = 10.0
KEPT_DEPLOYS = 10  # of each app
KEPT_LIVE = 2
KEPT_HOOKED = 100
LIVE, FAILED, REVERTED = "live", "failed", "reverted"  # what becomes of a deploy
CANARY = "canary"  # the same, of one that a part of the clients is served by
ROLLING, REVERTING = "rolling", "reverting"  # what becomes of a round
ROLLBACK, MOVE, RENEWAL = "rollback", "pool", "env"  # causes of deploys
SAME_RELEASE = (MOVE, RENEWAL)  # those that only change where it runs


@dataclass(frozen=True)
class Lease:
    """Who may change what is wanted. number: of the ledger's entry that gave it; until: Unix time in seconds."""

    holder: str
    number: int
    until: float


@dataclass(frozen=True)
class Deploy:
    """What became of one deploy. release, before: hashes, '' for none; outcome: `live`, `canary`, `failed` or
    `reverted`, and '' while it rolls; step, reason, traceback: of a failure; began: Unix time; steps: how long each
    took, in seconds; number: of the ledger's entry that first told of it; canary: the terms on which it is one;
    figures: of its time as one, in a sentence.
    """

    release: str
    before: str = ""
    cause: str = "folder"
    outcome: str = ""
    step: str = ""
    reason: str = ""
    traceback: str = ""
    began: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict)
    number: int = 0
    placement: Placement = Placement()
    canary: Terms | None = None
    figures: str = ""

    @property
    def version(self) -> Version:
        return Version(self.release, self.placement)


@dataclass(frozen=True)
class Canary:
    """A release that a part of the clients is served by. placement: in a pool of its own; number: of the ledger's entry
    that began it; began: when all replicas had it, 0 before; as a Unix time.
    """

    release: str
    placement: Placement
    terms: Terms
    number: int
    began: float = 0.0

    @property
    def key(self) -> str:
        return canary_key(Version(self.release, self.placement).key, self.terms.share, self.number)


class Version(NamedTuple):
    """A release, and where it runs; and the one that is to follow it, if some clients have that already."""

    release: str
    placement: Placement = Placement()
    canary: Canary | None = None

    @property
    def key(self) -> str:
        """What tells it from others: why it runs where it does, does not."""
        own = key(self.release, self.placement.pool, self.placement.concurrency, self.placement.environment)
        return own if self.canary is None else f"{own}{self.canary.key}"


def canary_key(key: str, share: float, number: int) -> str:
    """What stands behind the key of the release that most are served by."""
    return f"+{key}:{share:g}%#{number}"


def key(release: str, pool: str, concurrency: str, environment: str) -> str:
    """The release's own name while it shares the workers of the addresses."""
    place = "/".join((pool, concurrency, environment))
    return release if place == _SHARED or not release else f"{release}@{place}"


_SHARED = f"{Placement.pool}/{Placement.concurrency}/"


@dataclass(frozen=True)
class AppState:
    """One app. release: what is wanted, '' for none; placement: where it runs; refused: content that is not tried again
    before `again` (Unix time), with 0 never by itself; hooking, hooked: the release whose hook was begun, and those
    whose hooks have ended well, the newest first; deploys: the last ones, the newest first; wish: the pool that the
    operator wants; found: why it should not share, noticed while it served; placed: the `mark` of
    what was known when it was placed, or tried to be; ordered: the number of the entry in which its deploy was ordered
    last; share: the part of the clients that was ordered for what is deployed next, None for what its manifest says;
    promoted: the release that all are to have, without a canary.
    """

    release: str = ""
    placement: Placement = Placement()
    wish: str = AUTO
    found: tuple[Finding, ...] = ()
    placed: str = ""
    refused: str = ""
    again: float = 0.0
    hooking: str = ""
    hooked: tuple[str, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    ordered: int = 0
    canary: Canary | None = None
    share: float | None = None
    promoted: str = ""

    @property
    def version(self) -> Version:
        """What is wanted of it."""
        return Version(self.release, self.placement, self.canary)

    @property
    def on_trial(self) -> str:
        """The release that a part of the clients has, unless all are to have it, or it is to be tried anew."""
        canary = self.canary
        return "" if canary is None or self.promoted or self.share is not None else canary.release

    @property
    def known(self) -> Known:
        """What is known of it before a release is placed."""
        return Known(self.wish, self.found)

    @property
    def is_unplaced(self) -> bool:
        """Whether more is known by now of where it should run."""
        return bool(self.release) and self.placed != self.known.mark

    @property
    def trouble(self) -> Deploy | None:
        """The last deploy, if it came to nothing."""
        return self.deploys[0] if self.deploys and self.deploys[0].outcome in (FAILED, REVERTED) else None

    @property
    def previous(self) -> str:
        """What a rollback goes to: the last release that was live, other than the present one; '' for none."""
        lived = [deploy.release for deploy in self.deploys if deploy.outcome == LIVE]
        return next((release for release in lived if release not in ("", self.release)), "")

    @property
    def environments(self) -> set[str]:
        """Those that it runs in, or would after a rollback, or when what rolls has ended."""
        lived = {one.release: one for one in reversed(self.deploys) if one.outcome == LIVE}
        deploys = [*lived.values(), *(one for one in self.deploys if not one.outcome)]
        canary = {self.canary.placement.environment} if self.canary else set()
        return {self.placement.environment, *canary, *(one.placement.environment for one in deploys)} - {""}

    def environment_of(self, release: str) -> str:
        """That of a release which is served, or was; '' for ours."""
        served = [self.version, *(one.version for one in self.deploys if one.outcome in ("", LIVE, CANARY))]
        return next((one.placement.environment for one in served if one.release == release), "")

    def with_hook(self, release: str, done: bool) -> AppState:
        """Its hook has ended, well if done."""
        hooked = (release, *(one for one in self.hooked if one != release))[:KEPT_HOOKED] if done else self.hooked
        return dataclasses.replace(self, hooking="", hooked=hooked)

    def with_deploy(self, deploy: Deploy, **changes: Any) -> AppState:
        """Changed, and with one deploy more in its history, in which the newest alone keeps its traceback. Those that
        lived last, and one that rolls, stay: many failures in a row must not take away what a rollback goes to. One
        that is tried again takes the place of its last try.
        """
        again = self.trouble is not None and self.trouble.release == deploy.release
        deploys = (deploy, *(dataclasses.replace(one, traceback="") for one in self.deploys[again:]))
        lived = list({one.release: one for one in reversed(deploys) if one.outcome == LIVE}.values())[-KEPT_LIVE:]
        rolls = [one for one in deploys if one.outcome in ("", CANARY)]
        kept = tuple(one for place, one in enumerate(deploys) if place < KEPT_DEPLOYS or one in (*lived, *rolls))
        return dataclasses.replace(self, deploys=kept, **changes)


@dataclass(frozen=True)
class Round:
    """One change of what all workers load. state: `rolling` or `reverting`; changes: app → what was wanted before, and
    is now.
    """

    number: int
    state: str
    changes: Mapping[str, tuple[Version, Version]]


@dataclass(frozen=True)
class State:
    """All that the ledger tells. number: of the entry; 0 and empty before the first."""

    number: int = 0
    lease: Lease | None = None
    apps: Mapping[str, AppState] = field(default_factory=dict)
    round: Round | None = None

    def holds(self, holder: str, now: float) -> bool:
        """Whether this holder has the lease now."""
        return self.lease is not None and self.lease.holder == holder and now < self.lease.until

    def is_free(self, now: float) -> bool:
        """Whether anybody may take the lease: also when its end lies further off than any clock's fault but a jump."""
        return self.lease is None or not self.lease.until - 2 * LEASE_S <= now < self.lease.until

    def with_lease(self, holder: str, now: float) -> State:
        """Taken, or kept for longer: who still holds it keeps its number."""
        kept = self.lease if self.lease is not None and self.holds(holder, now) else None
        number = kept.number if kept else self.number + 1
        return dataclasses.replace(self, lease=Lease(holder, number, now + LEASE_S))

    def app(self, name: str) -> AppState:
        """What it tells of this app; empty if nothing."""
        return self.apps.get(name, AppState())

    def with_app(self, name: str, app: AppState) -> State:
        return dataclasses.replace(self, apps=dict(self.apps) | {name: app})

    def without_app(self, name: str) -> State:
        return dataclasses.replace(self, apps={other: app for other, app in self.apps.items() if other != name})


def from_json(told: Mapping[str, Any]) -> State:
    """A state as JSON has it. Raises ValueError, KeyError, TypeError or AttributeError if it is none."""
    lease, round = told["lease"], told["round"]
    return State(
        told["number"],
        Lease(**_known(Lease, lease)) if lease else None,
        {name: _app(app) for name, app in told["apps"].items()},
        Round(round["number"], round["state"], {app: _change(told) for app, told in round["changes"].items()})
        if round
        else None,
    )


def _app(told: Mapping[str, Any]) -> AppState:
    read = {
        "deploys": tuple(_deploy(deploy) for deploy in told["deploys"]),
        "hooked": tuple(told["hooked"]),
        "found": tuple(Finding(**one) for one in told.get("found", ())),
        "canary": _canary(told.get("canary")),
    }
    return AppState(**{**_placed(AppState, told), **read})


def _deploy(told: Mapping[str, Any]) -> Deploy:
    terms = told.get("canary")
    return Deploy(**_placed(Deploy, told) | {"canary": Terms(**_known(Terms, terms)) if terms else None})


def _canary(told: Mapping[str, Any] | None) -> Canary | None:
    if not told:
        return None
    return Canary(**_placed(Canary, told) | {"terms": Terms(**_known(Terms, told["terms"]))})


def _placed(kind: type, told: Mapping[str, Any]) -> dict[str, Any]:
    return _known(kind, told) | {"placement": Placement(**_known(Placement, told.get("placement", {})))}


def _change(told: Any) -> tuple[Version, Version]:
    """Of an entry that an earlier version has written, too."""
    old, new = (Version(one) if isinstance(one, str) else _version(*one) for one in told)
    return old, new


def _version(release: str, placement: Mapping[str, Any], canary: Mapping[str, Any] | None = None) -> Version:
    return Version(release, Placement(**placement), _canary(canary))


def _known(kind: type, told: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a newer version may have added."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in told.items() if name in names}
