"""What of an app's folder is left out of its releases: what tools leave behind, and what its `.hedgerowignore` lists.

That file stands at the top of the folder and has the syntax of `.gitignore`: a pattern a line, `#` comments, `!` takes
back, `/` at the end for folders only, a `/` elsewhere ties the pattern to the top, `*`, `?`, `[a-z]`, `**/`, `/**`,
`\\` before a letter that is meant. The last pattern that matches decides, also about what is left out by itself, and
nothing below a folder that is left out is looked at. Not known: classes with names, such as `[[:alpha:]]`.

Text in, verdict out: it looks at no folder but to read the file. No pattern takes longer than its length times the
path's, so that one app's file does not hold up the others: a `*` or `**` never gives back what it has found.
"""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = ".hedgerowignore"

# A release has its own, made from the source that it has. Cannot be taken back.
_BYTECODE = re.compile(r"__pycache__|.*\.py[co]", re.DOTALL)

# What git and its like, Python's and JavaScript's tools, editors and desktops keep beside the code.
_KEPT_BESIDE = """
    .git .hg .svn .bzr .jj
    .venv venv node_modules .tox .nox
    .mypy_cache .pytest_cache .ruff_cache .hypothesis .ipynb_checkpoints
    .idea .vscode .vs .fleet .zed .ropeproject .spyproject
    4913 .DS_Store .AppleDouble Thumbs.db desktop.ini .directory
    *~ .*.sw[a-p] .#* #*# .*.kate-swp *___jb_tmp___ *___jb_old___ .goutputstream-* flycheck_*.py *_flymake.py
    *.sublime-workspace .~lock.*# ._* .nfs* .fuse_hidden* .Trash-*
"""
_LEAVINGS = re.compile("|".join(map(fnmatch.translate, _KEPT_BESIDE.split())))

_UNTIL_SPACES = re.compile(r"(?:\\.|[^\\])*?(?= *$)", re.DOTALL)
_PART = re.compile(
    r"(?P<star>\*+)"
    r"|(?P<one>\?)"
    r"|\[(?P<none>[!^]?+)(?P<class>(?:\\.|[^\\])(?:\\.|[^\\\]])*)\]"
    r"|\\?(?P<plain>.)",
    re.DOTALL,
)
_RANGE = re.compile(r"\\?+(.)-\\?+(.)|\\?+(.)", re.DOTALL)
_NEVER = "(?!)"


@dataclass(frozen=True)
class Rule:
    """One line of the file."""

    path: re.Pattern[str]
    takes_back: bool
    folders_only: bool


class Rules:
    """What is left out of one folder."""

    def __init__(self, text: str = "") -> None:
        lines = text.removeprefix("\ufeff").split("\n")
        self._last_first = [rule for line in reversed(lines) if (rule := _rule(line.removesuffix("\r"))) is not None]

    def leave_out(self, relative: str, is_folder: bool) -> bool:
        """Whether this path is left out, if none of the folders above it is."""
        name = relative.rpartition("/")[2]
        if _BYTECODE.fullmatch(name):
            return True
        if relative == FILE_NAME:  # a change of it is a change of the app
            return False
        for rule in self._last_first:
            if (is_folder or not rule.folders_only) and rule.path.fullmatch(relative):
                return not rule.takes_back
        return _LEAVINGS.match(name) is not None


def read_rules(folder: Path) -> Rules:
    """Those of the app in `folder`. Raises OSError for a file that cannot be read."""
    path = folder / FILE_NAME
    return Rules(os.fsdecode(path.read_bytes())) if path.is_file() else Rules()  # to open a pipe would wait for ever


def _rule(line: str) -> Rule | None:
    kept = _UNTIL_SPACES.match(line)
    if kept is None or line.startswith("#"):  # a single backslash at the end means nothing
        return None
    text = kept[0]
    takes_back = text.startswith("!")
    text = text[takes_back:]
    folders_only = text.endswith("/")
    text = text[: len(text) - folders_only]
    if not text:
        return None
    path = _path(text.removeprefix("/")) if "/" in text else _path("**/" + text)
    return Rule(re.compile(path, re.DOTALL), takes_back, folders_only)


def _path(text: str) -> str:
    """The regular expression for a whole pattern: runs of plain segments with `**` between them."""
    runs: list[list[str]] = [[]]
    for segment in text.split("/"):
        if segment == "**":
            runs.append([])
        else:
            runs[-1].append(_segment(segment))
    first, *others = ["/".join(run) for run in runs]
    if not others:
        return first
    between = [rf"(?>(?:[^/]+/)*?{run}/)" for run in others[:-1] if run]
    last = rf"(?:[^/]+/)*{others[-1]}" if others[-1] else ".+"
    return "".join((first and first + "/", *between, last))


def _segment(text: str) -> str:
    """The regular expression for what stands between two slashes."""
    fixed = [""]
    for part in _PART.finditer(text):
        if part["star"]:
            fixed.append("")
        elif part["one"]:
            fixed[-1] += "[^/]"
        elif part["class"]:
            fixed[-1] += _class(part["class"], bool(part["none"]))
        else:
            fixed[-1] += _NEVER if part[0] == "[" else re.escape(part["plain"])
    first, *others = fixed
    if not others:
        return first
    return first + "".join(rf"(?>[^/]*?{one})" for one in others[:-1] if one) + f"[^/]*{others[-1]}"


def _class(text: str, none_of: bool) -> str:
    """One letter of those listed, or none of them; a range that runs backwards has none."""
    letters = ""
    for start, end, single in _RANGE.findall(text):
        if single:
            letters += re.escape(single)
        elif start <= end:
            letters += f"{re.escape(start)}-{re.escape(end)}"
    if none_of:
        return f"[^/{letters}]"
    return f"[{letters}]" if letters else _NEVER
