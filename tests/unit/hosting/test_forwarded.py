from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hedgerow.config import Settings
from hedgerow.hosting.forwarded import ForwardedApp
from hedgerow.hosting.gate import Gate
from hedgerow.hosting.host import load_host
from hedgerow.hosting.mounts import Mount, split


def test_a_forwarded_app_is_mounted_beside_the_others(make_app: Callable[..., Path]) -> None:
    folder = make_app("mine", {"app.py": "application = print"})
    pooled = ForwardedApp("pooled", Mount("/pooled"), Gate(1), ("/run/x.sock",))
    rival = ForwardedApp("rival", Mount("/mine"), Gate(1), ("/run/y.sock",))
    host = load_host({"mine": folder}, {}, Settings(), forwarded=[pooled, rival])
    told = {app["name"]: (app["state"], app["forwarded"]) for app in host.status()}
    assert told == {"mine": ("up", False), "pooled": ("up", True), "rival": ("down", True)}
    assert rival.error is not None
    assert rival.error.sentence.startswith("rival: the mount /mine belongs to mine")
    route = host.mounts.route("/pooled/x", "")
    assert route is not None
    assert route.app is pooled
    assert repr(pooled) == "<ForwardedApp pooled at /pooled: up, 0 running, to /run/x.sock>"


def test_the_split_that_is_told_is_the_one_that_was_decided() -> None:
    app = ForwardedApp("pooled", Mount("/a%20b"), Gate(1), ())
    for raw, mount, script, info in (
        ("/a%20b/%2F", "/a%20b", "/a b", "//"),
        ("/a%20b", "/a%20b", "/a b", ""),
        ("/x%C3", "", "", "/x\xc3"),
        ("", "", "", ""),
    ):
        route = split(app, raw, mount)
        assert (route.app, route.script_name, route.path_info) == (app, script, info)
