"""A release that some clients have first: it is taken back for its errors or for being slow, or all get it; each client
stays where it is; nobody notices the switch.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from canary_support import APP, LOOK_S, Crowd, judged, lay
from control_support import Stack, drop, get, stack, until

from hedgerow.control.entries import AppState
from hedgerow.control.ledger import Ledger
from hedgerow.control.records import WRITTEN_EVERY_S


def test_one_with_errors_and_a_slow_one_are_taken_back_and_a_good_one_goes_to_all() -> None:
    with stack(workers=2) as here:
        lay(here.apps, "v1")
        here.up()
        until(lambda: get(here.port, "/shop/")[0] == 200, 40, "it is up")
        for kind in ("errors", "slow", "good"):
            crowd = Crowd(here.port, 100)
            deploy = judged(crowd, here.apps, here.state, kind, "v1", f"v2-{kind}")
            assert 5 < crowd.sent[f"v2-{kind}"] < 40
            assert deploy.figures in here.run("deploys", "shop").stdout


HURT = """
import os

if os.path.exists({away!r}):
    raise RuntimeError("what it needs is away")

application = lambda environ, start_response: (start_response("200 OK", []), [b"v1"])[1]
"""
NARROW = "[limits]\nrunning = 1\nwaiting = 0\n[canary]\nshare = 50\nwindow_s = 600\nerrors = 100\n"


def alone(here: Stack) -> bool:
    """Whether no address has a worker that drains: on a connection that it has kept, it answers as before."""
    addresses = here.status()["replicas"][0]["addresses"]
    return all(sum(bool(slot.get("pid")) for slot in address["slots"].values()) == 1 for address in addresses)


def test_each_request_counts_once_also_where_one_release_is_down_and_the_other_refuses_many() -> None:
    with stack(workers=2, HEDGEROW_GATEWAY="false") as here:
        away = here.base / "away"
        drop(here.apps, "shop", HURT.format(away=str(away)))
        here.up()
        until(lambda: get(here.port, "/shop/")[0] == 200, 40, "it is up")
        away.touch()
        drop(here.apps, "other", APP.format(seconds=0, errors=0, name="other"))  # which brings other workers
        until(lambda: get(here.port, "/other/")[0] == 200 and get(here.port, "/shop/")[0] == 503, 40, "it is down")
        until(lambda: here.status()["apps"][1]["state"] == "down", 20, "at both addresses")
        drop(here.apps, "shop", NARROW, "app.toml")
        drop(here.apps, "shop", APP.format(seconds=0.02, errors=0, name="v2"))
        until(lambda: Ledger(here.state).read().app("shop").deploys[0].outcome == "canary", 40, "it is a canary")
        until(lambda: alone(here), 20, "the workers that do not know of it have gone")
        time.sleep(LOOK_S)

        def counted() -> int:
            told = here.status()["replicas"][0]["canaries"].get(
                "shop", {"old": {"requests": 0}, "new": {"requests": 0}}
            )
            return int(told["old"]["requests"] + told["new"]["requests"])

        until(lambda: counted() == 0, 5, "nobody has asked since")
        with ThreadPoolExecutor(8) as clients:
            got = Counter(clients.map(lambda _: get(here.port, "/shop/")[0], range(200)))
        print(got)
        assert got[200] > 0, "those of one side are served"
        assert got.total() == 200
        assert got.keys() == {200, 503}
        until(lambda: counted() >= 200, 10, "all are counted")
        time.sleep(WRITTEN_EVERY_S)
        assert counted() == 200


def test_an_operator_has_the_last_word() -> None:
    """By orders; and one whose pool ends with each request is taken back, too."""
    with stack(workers=2) as here:
        lay(here.apps, "v1", share=0)
        here.up()
        until(lambda: get(here.port, "/shop/")[0] == 200, 40, "it is up")
        ledger = Ledger(here.state)

        def shop() -> AppState:
            return ledger.read().app("shop")

        def answers() -> set[bytes]:
            return {get(here.port, "/shop/")[1] for _ in range(40)}

        (here.apps / "shop" / "app.py").write_text("1 / 0")  # nothing is deployed but by order
        until(lambda: shop().trouble, 30, "it is refused")
        lay(here.apps, "v2", share=0)
        until(lambda: answers() == {b"v2"}, 30, "a manifest without a share gives it to all")

        (here.apps / "shop" / "app.py").write_text("1 / 0")
        until(lambda: shop().trouble, 30, "it is refused")
        # What the folder holds is tried as soon as it settles: so the share has to be in it, or to be ordered again.
        lay(here.apps, "v3", share=50, window_s=600)
        until(lambda: shop().deploys[0].outcome == "canary", 30, "it is a canary")
        until(lambda: answers() == {b"v2", b"v3"}, 5, "half of them get it")
        told = here.run("status").stdout
        assert "50 %" in told
        assert "of 10 min" in told
        assert [one["state"] for one in here.status()["apps"]] == ["up"]

        done = here.run("rollback", "shop", "--wait")
        assert (done.returncode, "is taken back, and all have" in done.stdout) == (0, True), done
        until(lambda: answers() == {b"v2"}, 10, "nobody has it any more")
        until(lambda: shop().canary is None and ledger.read().round is None, 30, "it has ended")
        assert shop().deploys[0].reason == "it is not wanted any more"

        done = here.run("deploy", "shop", "--canary", "25%", "--wait")
        assert (done.returncode, "25 % of the clients have it, for 600 s" in done.stdout) == (0, True), done
        until(lambda: answers() == {b"v2", b"v3"}, 5, "a quarter gets it")
        deployer = next(pid for pid in here.pids() if "hedgerow.control.deployer" in command(pid))
        os.kill(deployer, signal.SIGKILL)
        until(lambda: deployer not in here.pids(), 10, "the deployer has gone")
        time.sleep(4)
        assert shop().deploys[0].outcome == "canary", "a new deployer finds it as it was"
        number = shop().deploys[0].number

        done = here.run("deploy", "shop", "--wait")
        assert (done.returncode, done.stdout.endswith("is live\n")) == (0, True), done
        assert answers() == {b"v3"}
        assert shop().deploys[0].number > number
        wrong = here.run("deploy", "shop", "--canary", "0%")
        assert wrong.returncode == 2
        assert "'0%': a percentage such as 10% is wanted" in wrong.stderr


def command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""
