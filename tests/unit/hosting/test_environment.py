"""Two apps in one process, each with variables of its own, and the processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hosting_help import get

from hedgerow.errors import UserError
from hedgerow.hosting.app import HostedApp
from hedgerow.hosting.manifest import read_manifest

Load = Callable[..., HostedApp]

ANSWER = "\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [answer()]\n"
PRINT = "import os; print(os.environ.get('WORD', 'none'), end='')"
CHILD = f"import os, subprocess, sys\nARGV = [sys.executable, '-c', {PRINT!r}]\n"
WAYS = {
    "environ": "import os\ndef answer(): return os.environ['WORD'].encode()\n",
    "taken before": "from os import environ\ndef answer(): return environ['WORD'].encode()\n",
    "getenv": "import os\ndef answer(): return os.getenv('WORD').encode()\n",
    "environb": "import os\ndef answer(): return os.environb[b'WORD']\n",
    "copy": "import os\ndef answer(): return dict(os.environ)['WORD'].encode()\n",
    "subprocess": CHILD + "def answer(): return subprocess.check_output(ARGV)\n",
    "shell": "import subprocess\ndef answer(): return subprocess.check_output('printf %s \"$WORD\"', shell=True)\n",
    "popen": "import os\ndef answer():\n    with os.popen('printf %s \"$WORD\"') as file:\n"
    "        return file.read().encode()\n",
    "spawn": CHILD + "def answer():\n"
    "    read, write = os.pipe()\n"
    "    pid = os.fork()\n"
    "    if not pid:\n"
    "        os.dup2(write, 1)\n"
    "        os.execv(ARGV[0], ARGV)\n"
    "    os.waitpid(pid, 0)\n"
    "    found = os.read(read, 100)\n"
    "    os.close(read)\n"
    "    os.close(write)\n"
    "    return found\n",
    "execvp": CHILD + "def answer():\n"
    "    read, write = os.pipe()\n"
    "    pid = os.fork()\n"
    "    if not pid:\n"
    "        os.dup2(write, 1)\n"
    "        os.execvp('sh', ['sh', '-c', 'printf %s \"$WORD\"'])\n"
    "    os.waitpid(pid, 0)\n"
    "    found = os.read(read, 100)\n"
    "    os.close(read)\n"
    "    os.close(write)\n"
    "    return found\n",
    "system": "import os\ndef answer(): return b'NAME' if os.system('test \"$WORD\" = NAME') == 0 else b'another'\n",
    "spawnv": "import os\ndef answer():\n"
    "    status = os.spawnvp(os.P_WAIT, 'sh', ['sh', '-c', 'test \"$WORD\" = NAME'])\n"
    "    return b'NAME' if status == 0 else b'another'\n",
    "putenv": "import os, subprocess\ndef answer():\n    os.putenv('MORE', 'NAME')\n"
    "    return subprocess.check_output('printf %s \"$MORE\"', shell=True)\n",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", ["app.toml", "the app itself"])
def test_each_of_two_apps_has_its_own(load: Load, way: str, source: str) -> None:
    before = dict(os.environ)
    files = {"app.py": WAYS[way] + ANSWER}
    if source == "app.toml":
        files["app.toml"] = '[env]\nWORD = "NAME"\n'
    else:
        files["app.py"] = "import os\nos.environ['WORD'] = 'NAME'\n" + files["app.py"]
    apps = {
        name: load(name, {path: text.replace("NAME", name) for path, text in files.items()}) for name in ("one", "two")
    }
    assert [get(apps[name]) for name in ("one", "two", "one")] == ["one", "two", "one"]
    assert dict(os.environ) == before
    assert subprocess.check_output([sys.executable, "-c", PRINT]) == b"none", "what is nobody's has none of it"


def test_what_the_process_has_is_there_and_can_be_taken_away(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMON", "common")
    source = "import os\ndef answer():\n    found = os.environ.pop('COMMON', 'none')\n    return found.encode()\n"
    apps = [load(name, {"app.py": source + ANSWER}) for name in ("one", "two")]
    assert [get(apps[0]), get(apps[0]), get(apps[1])] == ["common", "none", "common"]
    assert os.environ["COMMON"] == "common"


def test_a_variable_that_c_code_reads_is_told(load: Load) -> None:
    app = load(
        "zone", {"app.py": "import os\nos.environ['PGPASSWORD'] = 'x'\n" + ANSWER, "app.toml": '[env]\nTZ = "UTC"'}
    )
    assert [(each.cause, each.sentence.partition(" is read")[0]) for each in app.findings] == [
        ("variables", "zone: PGPASSWORD"),
        ("variables", "zone: TZ"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[env]\nPORT = 3\n", "a table of texts is wanted"),
        ("env = 3\n", "a table of texts is wanted"),
        ('[env]\n"A-B" = "x"\n', "'A-B' is no name of a variable"),
        ('[env]\nA = "\\u0000"\n', "A has a zero byte"),
        ('[env]\nHEDGEROW_STATE = "/"\n', "HEDGEROW_STATE is not the app's to set"),
    ],
)
def test_what_cannot_be_a_variable_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "app.toml").write_text(text)
    with pytest.raises(UserError, match=told):
        read_manifest(tmp_path)
