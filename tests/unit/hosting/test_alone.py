"""An app that has the process to itself: each test loads one in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MakeApp = Callable[..., Path]

PROGRAM = """
import json, os, sys, time
from pathlib import Path
from hedgerow.config import Settings
from hedgerow.hosting.alone import load_alone

app = load_alone("blog", Path(sys.argv[1]), Settings(secrets=Path(sys.argv[2])))
told = app.application and app.application({}, None)
error = app.error and [app.error.sentence, app.error.traceback]
print(json.dumps({
    "told": told, "error": error, "cwd": os.getcwd(), "path": sys.path[0], "space": app.space is not None,
    "environ": type(os.environ).__name__, "PWD": os.environ.get("PWD"), "zone": time.tzname[0], "mount": app.mount.path,
}))
"""


def load(folder: Path, secrets: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(secrets)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def test_plain_files_run_in_their_folder(make_app: MakeApp, tmp_path: Path) -> None:
    folder = make_app("blog", {
        "app.py": "import os, models\nFOUND = open('data.txt').read()\n"
        "def application(environ, start):\n"
        "    return [__name__, models.__name__, FOUND, os.environ['A'], os.environ['B'], models.C]\n",
        "models.py": "import os\nC = os.popen('echo $A').read()\n",
        "data.txt": "relative",
        "app.toml": 'mount = "/x"\n[env]\nA = "plain"\nTZ = "ABC-2"\n',
    })  # fmt: skip
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "blog.env").write_text("B=secret\n")
    told = load(folder, secrets)
    assert told.pop("told") == ["app", "models", "relative", "plain", "secret", "plain\n"]
    place = str(folder)
    assert told == {
        "error": None, "cwd": place, "path": place, "space": False, "environ": "_Environ", "PWD": place, "zone": "ABC",
        "mount": "/x",
    }  # fmt: skip


def test_a_package_is_run_from_beside_it(make_app: MakeApp, tmp_path: Path) -> None:
    folder = make_app("blog", {
        "__init__.py": "from .models import C\nfrom blog import models\n"
        "def create_app():\n    return lambda environ, start: [__name__, C, models.__name__]\n",
        "models.py": "C = 'relative'\n",
    })  # fmt: skip
    told = load(folder, tmp_path)
    assert (told["told"], told["cwd"], told["path"]) == (["blog", "relative", "blog.models"], *[str(folder.parent)] * 2)


def test_what_goes_wrong_is_told_as_of_an_app_beside_others(make_app: MakeApp, tmp_path: Path) -> None:
    sentence, traceback = load(make_app("blog", {"app.py": "\nimport nowhere\napp = 1\n"}), tmp_path)["error"]
    assert sentence == "blog/app.py line 2: ModuleNotFoundError: No module named 'nowhere'"
    assert traceback.startswith("Traceback")
    assert "hedgerow" not in traceback
    assert load(make_app("none", {}), tmp_path)["error"][0].startswith("none: no entry; looked for app.py")
    wrong = make_app("wrong", {"app.py": "app = print", "app.toml": "mont = 1"})
    assert load(wrong, tmp_path)["error"][0].startswith("wrong/app.toml: unknown key 'mont'")
