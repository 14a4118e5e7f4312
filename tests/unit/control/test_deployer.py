"""What a replica tells the others when a worker of its does not get ready."""

from __future__ import annotations

from pathlib import Path

from hedgerow.config import Settings
from hedgerow.control import pools
from hedgerow.control.deployer import Deployer
from hedgerow.control.placement import OWN, Placement
from hedgerow.control.policy import Reject
from hedgerow.control.pools import App, Wanted, name_of
from hedgerow.hosting.mounts import Mount

SHOP = App("/s/releases/shop/s2/shop", Mount("/shop"), Placement(OWN, "operator", "why"))
WANTED = Wanted({"blog": App("/s/releases/blog/b1/blog", Mount("/blog")), "shop": SHOP})


def test_content_of_an_own_pool_that_does_not_get_ready_is_its_apps_fault_alone(tmp_path: Path) -> None:
    for name in ("apps", "state", "run"):
        (tmp_path / name).mkdir()
    places = {name: tmp_path / name for name in ("apps", "state", "run")}
    deployer = Deployer(Settings.from_env({}, replica="r1", **places))
    deployer._wanted = WANTED
    told = []
    for content in (pools.of_pools(WANTED)[name_of("shop")], pools.of_addresses(WANTED, tmp_path / "run")):
        deployer._do(Reject(content))
        told.append(deployer._faults.told)
    reason = "a worker did not get ready in 60 s"
    assert told == [(WANTED.keys, "shop", reason), (WANTED.keys, "", reason)]
