"""What an app's exception is told as: one sentence with file and line, a traceback without the host's own frames, and
the places in the app's own code.
"""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass
from pathlib import Path

from ..errors import LoadError, Place

_HOST = Path(__file__).parents[1]
# A compiled module tells its file as the compiler was given it.
_FOREIGN = (f"{_HOST}/", "appserver/hedgerow/", str(Path(importlib.__file__).parent), "<frozen importlib")
# Below an app's folder, and yet not its author's.
_INSTALLED = frozenset(("site-packages", "dist-packages", "node_modules"))
_MAX_SENTENCE = 400


@dataclass(frozen=True)
class Failure:
    """An exception of an app. sentence: what and where, in one line; traceback: the whole text; places: the lines of
    the app's own code that led there, the innermost first.
    """

    sentence: str
    traceback: str = ""
    places: tuple[Place, ...] = ()


def explain(error: BaseException, folder: Path, entry_file: str, package: str = "") -> LoadError:
    """`error`, raised while the app in `folder` was loaded as `package`, as `blog/models.py line 3: SyntaxError: …`."""
    failure = tell(error, folder, entry_file, package)
    return LoadError(failure.sentence, failure.traceback, failure.places)


def tell(error: BaseException, folder: Path, entry_file: str = "", package: str = "") -> Failure:
    """The same of any exception. entry_file: what is named when no line of the app's own is involved."""
    told = traceback.TracebackException.from_exception(error)
    _drop_foreign_frames(told, set())
    what = " ".join(_plain(_last_line(told), package).split())
    places = _places(told, folder)
    where = f"{folder.name}/{entry_file}".rstrip("/")
    if places:
        where = f"{places[0].name} line {places[0].line}" if places[0].line else places[0].name
    sentence = f"{where}: {what}"
    if len(sentence) > _MAX_SENTENCE:
        sentence = sentence[:_MAX_SENTENCE] + " …"
    return Failure(sentence, _plain("".join(told.format()), package), places)


def as_edited(told: LoadError | Failure, folder: Path, source: Path) -> Failure:
    """The same with the paths of `source`, which its author edits, for those of `folder`, a copy of it."""
    old, new = f"{folder}/", f"{source}/"
    return Failure(told.sentence.replace(old, new), told.traceback.replace(old, new), told.places)


def _plain(text: str, package: str) -> str:
    """The app's modules under the names that the app itself gives them."""
    return text.replace(f"{package}.", "") if package else text


def _last_line(told: traceback.TracebackException) -> str:
    line = "".join(told.format_exception_only())
    return line[line.rfind("\n", 0, -1) + 1 :] if _is_syntax(told) else line  # without the picture of the line


def _is_syntax(told: traceback.TracebackException) -> bool:
    return hasattr(told, "lineno")


def _places(told: traceback.TracebackException, folder: Path) -> tuple[Place, ...]:
    found = [(frame.filename, frame.lineno, frame.name) for frame in told.stack]
    if _is_syntax(told) and told.filename is not None:
        found.append((told.filename, int(told.lineno) if told.lineno else None, ""))
    places = []
    for file, line, function in reversed(found):
        if Path(file).is_relative_to(folder) and _INSTALLED.isdisjoint(Path(file).parts):
            name = f"{folder.name}/{Path(file).relative_to(folder)}"
            places.append(Place(file, name, line or 0, function))
    return tuple(dict.fromkeys(places))  # a recursion goes through the same lines again and again


def _drop_foreign_frames(told: traceback.TracebackException, seen: set[int]) -> None:
    """Take the frames of the host and of the import machinery out of `told` and of what it came from."""
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack = traceback.StackSummary.from_list([f for f in told.stack if not f.filename.startswith(_FOREIGN)])
    for earlier in (told.__cause__, told.__context__):
        if earlier is not None:
            _drop_foreign_frames(earlier, seen)
