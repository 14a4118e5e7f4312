"""A page of docs/ as its reader meets it: the commands that it says to type, and what it says that they print.

A command stands in a block of kind `console`, behind `$ `, and goes on in lines behind `> ` while a quote is open; what
follows is its output. Nothing is left out of an output: a page shortens what is long by a command (grep). What no two
runs have alike is named in VOLATILE, and nothing else may differ.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
LIMIT_S = 60
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# Each what, where, and what stands there instead. Groups are what must stay.
VOLATILE = [
    (r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\b", "<date>"),
    (r'(?<="time":")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+Z|\+00:00)(?=")', "<moment>"),
    (r'(?<="time": ")\d\d:\d\d:\d\d(?=")', "<time>"),
    (r"\b[0-9a-f]{32}\b", "<request id>"),
    (r"(?<=^hedgerow\.worker = )\d+$|(?<=\"process\": )\d+\b", "<pid>"),
    (r"(?<=^hedgerow\.files = )'.+'$", "<user, or other>"),
    (r"(?<=^hedgerow\.front = )'.+'$|(?<=^hedgerow\.replica = )'.+'$", "<host name>"),
    (r"(?<=^hedgerow\.slot = )'[ab]'$", "<a or b>"),
    (r"(?<=^hedgerow\.address = )'800[12]'$|(?<=\"upstream_addr\":\"127\.0\.0\.1:)800[12](?=\")", "<address>"),
    (r"(?<=\"upstream_bytes_sent\":\")\d{3}(?=\")", "<bytes>"),  # the front's and this machine's names are in them
    (r"(?<=\bcurl/)\d+(?:\.\d+)+\b|(?<=\bCPython/)3(?:\.\d+)+\b|(?<=\bgunicorn/)\d+(?:\.\d+)+\b", "<version>"),
    (r"(?<=^first byte after \d)\.\d+|(?<=, last after \d)\.\d+", "<milliseconds>"),
    (r"(?<=_time\":\")\d\.\d{3}(?=\")|(?<=\"seconds\":)\d\.\d{3}\b|(?<=\"ms\":)\d+\.\d{3}\b", "<time taken>"),
    (r"(?<=^)[1-9a-f][0-9a-f]$(?=\nid: \d)", "<size>"),  # of a chunk with a process id in it
]


@dataclass(frozen=True)
class Step:
    """One command. line: where the page has it."""

    line: int
    command: str
    shown: str


def blocks(page: Path, kind: str) -> list[tuple[int, str]]:
    """The fenced blocks of one kind, each with the line that it begins in."""
    text = page.read_text()
    return [(text.count("\n", 0, found.start()) + 2, found[2]) for found in _BLOCK.finditer(text) if found[1] == kind]


def steps(page: Path, *, containers: bool = False) -> list[Step]:
    """Those for any stack, or those of the blocks that need one in containers."""
    found = blocks(page, "console")
    return [step for line, block in found if ("docker compose" in block) == containers for step in _steps(line, block)]


def _steps(first: int, block: str) -> Iterable[Step]:
    assert block.startswith("$ "), f"line {first}: an output without a command"
    at = first
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        typed, _, shown = part.partition("\n")
        while _is_open(typed):
            assert shown.startswith("> "), f"line {at}: the command ends nowhere"
            more, _, shown = shown.partition("\n")
            typed += "\n" + more[2:]
        yield Step(at, typed, shown)
        at += part.count("\n")


def _is_open(command: str) -> bool:
    """Whether the shell would ask for more of it."""
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


def run(given: list[Step], folder: Path, environ: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    """What each command prints, all in one shell. names: other ports than those that the page has."""
    mark = uuid.uuid4().hex
    script = "".join(f"{_typed(replaced(step.command, names))}\necho {mark}\n" for step in given)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=os.environ | environ, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    outputs = done.stdout.decode().replace("\r\n", "\n").split(f"{mark}\n")
    assert len(outputs) == len(given) + 1, done.stderr.decode()
    back = {there: here for here, there in names.items()}
    return [replaced(output, back) for output in outputs[:-1]]


def _typed(command: str) -> str:
    """A line is in the log a moment after the answer, so who reads the log looks again, for ten seconds at most."""
    if not command.startswith("hedgerow logs"):
        return command
    return f"for _ in $(seq 50); do {command} && break; sleep 0.2; done"


def replaced(text: str, names: Mapping[str, str]) -> str:
    return re.sub("|".join(rf"\b{re.escape(name)}\b" for name in names), lambda found: names[found[0]], text)


def settled(output: str) -> str:
    """Without what no two runs have alike, and without blanks at the ends of lines."""
    output = re.sub(r"[ \t]+$", "", output, flags=re.MULTILINE)
    for where, instead in VOLATILE:
        output = re.sub(where, instead, output, flags=re.MULTILINE)
    return output
