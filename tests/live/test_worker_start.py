"""A worker's start: gevent's plugins are heard, asked for once, and the collector is on again when apps are loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from worker_support import serving

PLUGIN = """
from importlib import metadata

looks = 0


def will_patch_all(event):
    find = metadata.MetadataPathFinder.find_distributions

    def counted(*context):
        global looks
        looks += 1
        return find(*context)

    metadata.MetadataPathFinder.find_distributions = counted


def did_patch_all(event):
    print(f"patched, {looks} more looks at what is installed")
"""
ENTRY_POINTS = """
[gevent.plugins.monkey.will_patch_all]
plugin = plugin:will_patch_all

[gevent.plugins.monkey.did_patch_all]
plugin = plugin:did_patch_all
"""
APP = """
import gc

LOADING = gc.isenabled(), gc.get_freeze_count() > 1000


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{LOADING} {gc.isenabled()}".encode()]
"""


def test_plugins_of_gevent_are_called_and_asked_for_once(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    distribution = tmp_path / "plugin-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text(ENTRY_POINTS)
    start = (
        f"import runpy, sys; sys.path.append({str(tmp_path)!r}); runpy.run_module('hedgerow.worker', alter_sys=True)"
    )
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "patched, 0 more looks at what is installed\n"


def test_the_collector_is_on_when_apps_are_loaded_and_leaves_the_worker_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(APP)
    with serving(tmp_path, {"app": tmp_path / "app"}) as worker:
        assert worker.ask("/app/")[1] == b"(True, True) True"
