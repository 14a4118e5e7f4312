"""The bytecode of a release, so that its workers neither compile nor write.

It is made in a process of its own (compile_all.py): a file can be such that compiling it takes for ever, takes all
memory or ends the process, and no app's file is to end the deployer. What has none, the workers compile for themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIMIT_S = 20.0

_SCRIPT = Path(__file__).with_name("compile_all.py")


def compile_tree(code: Path, shown_as: Path) -> None:
    """Adds the bytecode of all files below `code`, which is to lie at `shown_as`. Never fails."""
    if not any(name.endswith(".py") for _, _, names in os.walk(code) for name in names):
        return
    command = [sys.executable, "-P", "-S", str(_SCRIPT), str(code), str(shown_as)]
    nothing = subprocess.DEVNULL
    try:
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
