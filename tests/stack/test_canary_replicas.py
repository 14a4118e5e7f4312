"""A canary on two replicas behind one front: both decide by the sums of both. In CI a good one; marked `slow` one with
errors, a slow one and a good one, with 20,000 clients that come for the first time.
"""

from __future__ import annotations

import pytest
from canary_support import Crowd, judged, lay

from .deploys import Deploys
from .engine import HERE, Stack, wait_for

APPS = [HERE / "apps" / "tells_its_release"]
CI = (["good"], 6.0, 300)
FULL = (["errors", "slow", "good"], 60.0, 20_000)


@pytest.mark.parametrize(
    ("kinds", "window_s", "wanted"),
    [pytest.param(*CI, id="CI"), pytest.param(*FULL, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
def test_nobody_fails_and_the_share_is_right(
    stack: Stack, deploys: Deploys, kinds: list[str], window_s: float, wanted: int
) -> None:
    number = deploys.number("shop")
    lay(stack.apps, "v1", share=0)
    deploys.wait_live("shop", number)
    wait_for(lambda: stack.get("/shop/").status == 200, "it is up")
    sent = old = 0
    for kind in kinds:
        crowd = Crowd(stack.port, 40, strangers=400)
        judged(crowd, stack.apps, deploys.state, kind, "v1", f"v2-{kind}", window_s, share=10)
        sent, old = sent + crowd.sent[f"v2-{kind}"], old + crowd.sent["v1"]
    share = 100 * sent / (sent + old)
    print(f"{sent} of {sent + old} were sent to canaries: {share:.2f} %")
    assert sent + old >= wanted
    assert abs(share - 10) < (2 if wanted > 10_000 else 6)
