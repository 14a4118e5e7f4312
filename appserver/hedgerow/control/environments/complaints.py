"""uv's words for what went wrong, made into one sentence that names the package. Pure.

uv tells how it came to its conclusion, in as many steps as that took; who deploys wants to know which packages. What no
rule knows is told as uv tells it, in one line.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable

MAX_CHARS = 600
# What may be well another time, with the same requirements.
MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN,
    errno.EIO,
)  # fmt: skip

_SPEC = r"[A-Za-z0-9][\w.-]*(?:\[[\w,.-]+\])?(?:(?:[<>=!~]=?|===)[\w.*+!-]+(?:,(?:[<>=!~]=?)[\w.*+!-]+)*)?"
_NETWORK = re.compile(
    r"error sending request|Request failed after|network was disabled|Network connectivity is disabled"
    r"|Failed to fetch|dns error|operation timed out"
)


def sentence(text: str) -> str:
    """The one sentence."""
    flat = flattened(text)
    if (built := re.search(r"Failed to (?:download and )?build `([^`]+)`", flat)) and cause(text) is None:
        return _failed_build(built.group(1), text)
    for pattern, tell in _RULES:
        if found := re.search(pattern, flat):
            return tell(found)
    return flat.removeprefix("No solution found when resolving dependencies ")[:MAX_CHARS]


def flattened(text: str) -> str:
    """In one line, without the words that only say that something is wrong."""
    lines = [line for line in text.splitlines() if not line.startswith("warning:")]
    return re.sub(r"\s+", " ", re.sub(r"(?m)^\s*(?:error|cause): ", "", "\n".join(lines))).strip()


def cause(text: str) -> OSError | None:
    """What of it is the machine's fault and not the app's, if anything is: also an index that cannot be reached."""
    for number in re.findall(r"\(os error (\d+)\)", text):
        if int(number) in MACHINE:
            return OSError(int(number), os.strerror(int(number)))
    if _NETWORK.search(text):
        return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    return None


def is_unreachable(text: str) -> bool:
    """Whether the index is, which says nothing of the requirements."""
    return _NETWORK.search(text) is not None


def named(text: str, name: str) -> list[str]:
    """What the text says is asked of this package, as `werkzeug<3`."""
    specs = re.findall(rf"(?<![\w.-])({re.escape(name)}(?:[<>=!~][\w.*+!,<>=~-]*[\w*]))", flattened(text))
    return list(dict.fromkeys(specs))


def _no_wheel(found: re.Match[str]) -> str:
    return f"{found.group(1)} has no wheel for this Python and machine, and there is no C compiler to build it"


def _failed_build(package: str, text: str) -> str:
    """The last line of what its build wrote tells most."""
    lines = [line.strip() for line in text.partition("\nhint:")[0].splitlines() if line.strip()]
    return f"{package} cannot be built: {lines[-1].removeprefix('cause: ')}"


def _unreachable(found: re.Match[str]) -> str:
    url = re.search(r"https?://[^\s)`]+", found.string)
    place = re.sub(r"//[^/@]*@", "//", url.group()) if url else ""
    return "the package index cannot be reached" + (f": {place}" if place else "")


def _missing(found: re.Match[str]) -> str:
    if refused := re.search(r"index URL \(([^)]+)\) could not be queried due to[^(]*\((\d+ [^)]+)\)", found.string):
        place, status = refused.groups()
        return f"there is no package {found.group(1)} to be seen: the index {place} answers {status}"
    return f"there is no package {found.group(1)} in the package index"


def _excluded(found: re.Match[str]) -> str:
    asked = [*_asked(found.string)]
    if len(asked) > 1:
        return f"{asked[0]} and {asked[-1]} exclude each other"
    return found.string.removeprefix("No solution found when resolving dependencies ")[:MAX_CHARS]


def _asked(flat: str) -> dict[str, None]:
    """What the requirements ask for, without what follows from it, in uv's order."""
    asked: dict[str, None] = {}
    for clause in re.finditer(rf"(?<!conclude that )you require ({_SPEC})(?: and (?!you )({_SPEC})(?=,| we))?", flat):
        asked |= dict.fromkeys(spec.rstrip(".,") for spec in clause.groups() if spec)
    return asked


_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"\(os error (?:{'|'.join(str(number) for number in MACHINE)})\)", lambda found: _disk(found.string)),
    (r"Wheels are required for `([^`]+)`", _no_wheel),
    (r"Building source distributions (?:for|is disabled)[^`]*`?([\w.-]+)?", lambda found: _source(found.string)),
    (_NETWORK.pattern, _unreachable),
    (r"([\w.-]+) was not found in the (?:package registry|provided package locations)", _missing),
    (
        r"Python version \(([\d.]+)\) does not satisfy Python(\S+) and (?:all versions of )?(\S+) depends? on Python",
        lambda found: f"{found.group(3)} needs Python {found.group(2)}, and this one is {found.group(1)}",
    ),
    (
        rf"Because (?:all versions of )?({_SPEC}) requires? Python (\S+) and",
        lambda found: f"{found.group(1)} needs Python {found.group(2)}",
    ),
    (rf"there (?:is|are) no versions? of ({_SPEC})", lambda found: f"there is no version of {found.group(1)}"),
    (r"only .*? (?:is|are) available and you require (\S+),", lambda found: f"there is no version of {found.group(1)}"),
    (
        r"Couldn't parse requirement in `[^`]*` at position \d+ (.+)",
        lambda found: f"a line is no requirement: {found.group(1).rstrip('^ ')}",
    ),
    (r"you require", _excluded),
)


def _disk(flat: str) -> str:
    error = cause(flat)
    return f"the environment cannot be written: {error.strerror if error else flat}"


def _source(flat: str) -> str:
    named_so = re.search(r"`([^`]+)`", flat)
    return f"{named_so.group(1) if named_so else 'a package'} has to be built, and there is no C compiler for it"
