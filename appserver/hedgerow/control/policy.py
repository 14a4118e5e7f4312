"""What the deployer does next: a pure function from what is seen to a list of actions.

No clock, no files, no processes: the observation carries all of it, so every case is a line in a test. An address is in
one of these states, derived and never stored:

    cold      no slot running                               start the active slot
    steady    active slot ready, its entry is wanted        nothing
    stale     its entry is not wanted, other slot stopped   if no other address is swapping: start the other with it
    worn      its worker says that it is to be replaced     the same, with what it has loaded
    swapping  both run, other's generation is newer         wait; after 60 s stop it and do not try this content again
    turning   both run, other is newer and ready            make it active in the plan, drain the old one
    draining  both run, the other's generation is older     drain it (again); wait; stop it if it comes again and again

Who is worn serves all the same, so what takes over from it must be as good: else it is stopped, and tried again later.
A slot that is stuck (it does not get ready, and says which app it is loading) has that app blamed: it is wanted no more
until its folder changes, so that one app's endless import does not keep the others from their deploys.
A keeper that does not run is started first, in every state.
The law: a slot that serves is told to go only while another slot of its address serves.
"""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Content, other_slot
from .views import SWAP_LIMIT_S, AddressView, SlotView

# A worker that drains and says nothing: long enough for one that has just ended, or whose app lets nobody run.
SILENT_LIMIT_S = 10.0
# A worker drains and then exits by itself (`swap_drain_s`); one that does not is stopped, at the earliest then.
DRAIN_MARGIN_S = 15.0
# When what was to take over from a worn one was not as good.
AGAIN_S = 60.0


@dataclass(frozen=True)
class Observation:
    """All that is seen at one moment. wanted: None while nobody knows it yet: then only keepers are started;
    rejected: content that did not become ready; it is not tried again; held: who serves is not swapped yet.
    """

    addresses: tuple[AddressView, ...]
    wanted: Content | None
    rejected: Content | None = None
    drain_s: float = 45.0
    held: bool = False


@dataclass(frozen=True)
class StartKeeper:
    address: str


@dataclass(frozen=True)
class Start:
    """Starts a slot; with content, after writing it into the plan, else with what the plan holds. worn: why, when it
    takes over from one that serves the same.
    """

    address: str
    slot: str
    content: Content | None = None
    worn: str = ""


@dataclass(frozen=True)
class Activate:
    address: str
    slot: str


@dataclass(frozen=True)
class Drain:
    address: str
    slot: str


@dataclass(frozen=True)
class Stop:
    address: str
    slot: str


@dataclass(frozen=True)
class Reject:
    content: Content


@dataclass(frozen=True)
class Blame:
    """The slot does not get ready because of this app: content without it is wanted. instead: its release that runs."""

    address: str
    slot: str
    app: str
    instead: str | None = None


@dataclass(frozen=True)
class Add:
    """A group for a pool that is wanted and not there."""

    address: str


@dataclass(frozen=True)
class Remove:
    """The group of a pool whose slots have ended, and its keeper with it."""

    address: str


@dataclass(frozen=True)
class Sleep:
    """A pool that nobody asks: only its keeper stays."""

    address: str


@dataclass(frozen=True)
class Wake:
    """It is asked, or to be another."""

    address: str


Action = StartKeeper | Start | Activate | Drain | Stop | Reject | Blame | Add | Remove | Sleep | Wake


def decide(seen: Observation) -> list[Action]:
    """What to do now. At most one address swaps at a time: the next one while the last one turns."""
    actions: list[Action] = []
    may_swap = not any(view.state == "swapping" for view in seen.addresses)
    for view in seen.addresses:
        if not view.keeper:
            actions.append(StartKeeper(view.address))
        if seen.wanted is None:
            continue
        todo = _STATES[view.state](view, seen, seen.wanted)
        if view.state == "single":
            if not may_swap:
                continue
            may_swap = not todo
        actions += todo
    return actions


def _cold(view: AddressView, seen: Observation, wanted: Content) -> list[Action]:
    """Nothing serves here, so the newest content is started, unless it is known not to start."""
    known = view.current.content
    if view.current.stuck and known == wanted:
        return [Blame(view.address, view.active, view.current.importing)]
    keep = known is not None and wanted in (known, seen.rejected)
    return [Start(view.address, view.active, None if keep else wanted)]


def _single(view: AddressView, seen: Observation, wanted: Content) -> list[Action]:
    """One slot runs: steady, stale, or worn. One that is still loading for the first time is left alone; one that goes
    (its pool was to sleep) is followed at once.
    """
    current, other = view.current, view.other
    if other.stuck and other.content == wanted and not view.recycles:
        return [_blame(view, other)]
    if current.stuck and current.content == wanted:
        return [Blame(view.address, view.active, current.importing)]
    if wanted == seen.rejected:
        return []
    worn = ""
    if wanted == current.content and not current.going:
        worn = current.worn if current.ready and not _has_just_failed(view) else ""
        if not worn:
            return []
    loading = not (current.ready or current.going or current.failing) and current.still_s < SWAP_LIMIT_S
    if loading or (current.ready and seen.held):
        return []
    return [Start(view.address, other_slot(view.active), wanted, worn)]


def _has_just_failed(view: AddressView) -> bool:
    """The other slot was to take over with the same, and was not as good."""
    return view.recycles and view.other.generation > view.current.generation and view.other.for_s < AGAIN_S


def _swapping(view: AddressView, seen: Observation, wanted: Content) -> list[Action]:
    current, other = view.current, view.other
    if not current.alive:  # gave up or went away meanwhile: what ran before is started again beside the new one
        return [Start(view.address, view.active)] if current.content else []
    stop = Stop(view.address, other_slot(view.active))
    if other.stuck:
        return [stop] if view.recycles else [_blame(view, other), stop]
    if _is_outdated(view, wanted):
        return [stop]
    if other.going or other.still_s < SWAP_LIMIT_S:
        return []
    rejected: list[Action] = [Reject(other.content)] if other.content and not view.recycles else []
    return [stop, *rejected]


def _blame(view: AddressView, other: SlotView) -> Blame:
    running = view.current.content.apps if view.current.content else {}
    return Blame(view.address, other_slot(view.active), other.importing, running.get(other.importing))


def _is_outdated(view: AddressView, wanted: Content) -> bool:
    """The other slot starts with what is wanted no more, while the current one serves what is: a round turned back."""
    current, other = view.current, view.other
    return other.content != wanted and not other.going and current.content == wanted and current.ready


def _turning(view: AddressView, seen: Observation, wanted: Content) -> list[Action]:
    worse = view.recycles and view.other.down - view.current.down
    if worse or _is_outdated(view, wanted):
        return [Stop(view.address, other_slot(view.active))]
    actions: list[Action] = [Activate(view.address, other_slot(view.active))]
    if view.current.ready:
        actions.append(Drain(view.address, view.active))
    elif view.current.alive and not view.current.going:
        actions.append(Stop(view.address, view.active))
    return actions


def _draining(view: AddressView, seen: Observation, wanted: Content) -> list[Action]:
    """The older one goes. It must not go before the active one serves, and it must not stay for ever."""
    name, old = other_slot(view.active), view.other
    if old.going:
        return [Stop(view.address, name)] if old.for_s >= seen.drain_s + DRAIN_MARGIN_S else []
    if old.failing:  # supervisord takes one that has drained within its first second for crashed, and starts it again
        return [Stop(view.address, name)]
    if not old.ready:  # it is busy and does not answer us, or it crashed while it drained and was started again
        return [Stop(view.address, name)] if old.for_s >= SILENT_LIMIT_S else []
    return [Drain(view.address, name)] if view.current.ready else []


_STATES = {"cold": _cold, "single": _single, "swapping": _swapping, "turning": _turning, "draining": _draining}
