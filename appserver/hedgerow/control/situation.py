"""What a deployer does next with all groups of processes: a pure function from what is wanted and seen to actions.

Each group gets on by policy.py; here is what they have to do with each other:

    addresses      take turns; who serves is not swapped to content with new pools that do not serve it yet
    own pools      each by itself; one that is wanted is added; one that nobody sends to any more is ended; until then
                   one that is not served refuses
    further pools  likewise; one keeps an app that has left it while it is still sent there
    shared pool    behind a gateway it is groups of its own, which take turns, and keep what is still sent to them
    idle pools     one that nobody has asked for long is put to sleep: its keeper holds the socket; who asks wakes it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from . import policy, pools, serving
from .plan import Content
from .policy import Action, Add, Sleep, Wake
from .pools import Wanted
from .views import AddressView


@dataclass(frozen=True)
class Situation:
    """All that is seen at one moment. wanted: None while nobody knows it yet; gateway: the groups of the shared pool if
    the addresses are only its gateway; idle: own pools that nobody has asked for long; rejected, drain_s: policy.py's.
    """

    wanted: Wanted | None
    addresses: Sequence[AddressView]
    pools: Mapping[str, AddressView] = field(default_factory=dict)
    content: Content | None = None
    gateway: Sequence[str] = ()
    idle: Collection[str] = ()
    rejected: Content | None = None
    drain_s: float = 45.0


def decide(seen: Situation) -> list[Action]:
    """What to do now."""
    if seen.wanted is None or seen.content is None:
        return policy.decide(policy.Observation(tuple(seen.addresses), None))
    held = not serving.serve(seen.content, seen.pools, seen.addresses)
    actions = _lane(seen, seen.addresses, seen.content, held)
    wanted = {
        name: serving.with_guests(content, (name,), seen.addresses, seen.pools)
        if pools.has_neighbours(name)
        else content
        for name, content in pools.of_pools(seen.wanted).items()
    }
    if seen.gateway and (shared := pools.of_shared(seen.wanted)).apps:
        shared = serving.with_guests(shared, seen.gateway, seen.addresses, seen.pools)
        wanted |= dict.fromkeys(seen.gateway, shared)
        actions += _lane(seen, [seen.pools[name] for name in seen.gateway if name in seen.pools], shared)
    actions += [Add(name) for name in wanted if name not in seen.pools]
    kept = serving.in_use(seen.addresses)
    for name, view in seen.pools.items():
        if name not in wanted:
            actions += serving.refuse(view) if name in kept else serving.retire(view)
        elif not pools.is_shared(name):
            sleeps = name in seen.idle and name not in pools.canary_names(seen.wanted)  # to be woken counts as slow
            actions += _own(seen, name, view, wanted[name], sleeps)
    return actions


def _lane(seen: Situation, views: Sequence[AddressView], content: Content, held: bool = False) -> list[Action]:
    return policy.decide(policy.Observation(tuple(views), content, seen.rejected, seen.drain_s, held))


def _own(seen: Situation, name: str, view: AddressView, content: Content, sleeps: bool) -> list[Action]:
    if not view.asleep:
        rests = sleeps and view.state == "single" and view.served == content
        return [Sleep(name)] if rests else _lane(seen, [view], content)
    if view.current.content != content:
        return [Wake(name)]
    keeper = policy.decide(policy.Observation((view,), None))
    return keeper + serving.let_go(view)
