"""Which packages fulfil what apps ask for, as uv resolves it. It changes nothing; what is resolved is installed
elsewhere.

The shared pool's packages are those of our own installation, the *base*, and an *overlay* of more. A newcomer may add
to the overlay; that it changes a version is a conflict, and it goes elsewhere. In an environment without the base apps
get what they ask for and the libraries that workers run on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ...errors import UserError
from . import base, complaints, engine, lock, requirements
from .base import Overlay
from .interpreters import Interpreter, fits, running
from .lock import Lock, Package
from .requirements import Requirements
from .uv import Refused, Uv

NOTHING = Overlay()


@dataclass(frozen=True)
class Conflict:
    """Why these requirements cannot be met in the shared pool: `needs werkzeug<3, but the shared pool has …`. packages:
    those that it has in other versions, if that is all.
    """

    sentence: str
    packages: tuple[str, ...] = ()


def shared(uv: Uv, asked: Requirements, overlay: Overlay) -> Lock | Conflict:
    """The overlay with which the shared pool has what a newcomer asks for, too; the same one if it has that already.

    Raises UserError with one sentence if nothing can fulfil them.
    """
    if not fits(asked, running()):
        return Conflict(f"needs Python {asked.python}, but the shared pool runs on {running().version}")
    if not asked.file:
        return overlay.lock
    present = base.versions() | overlay.lock.versions
    with uv.workplace() as place:
        files = _files(uv, [asked], place)
        if _is_met(uv, asked, files, running(), overlay, base.paths(), place):
            return overlay.lock
        pins = _pins(present, place)
        links = base.stand_ins(place.parent, overlay)
        try:
            found = _compile(uv, [asked], [*files, "--constraints", pins, "--find-links", links], running(), place)
        except Refused as refused:
            alone = _alone(uv, asked, files, running(), place)
            return Conflict(*_difference(refused.text, alone, present))
        new = _checked(asked, _new(found, present, links), files)
    if brought := brings(asked.folder, new):
        return Conflict(f"brings {', '.join(brought)} in its own folder")
    return overlay.lock.added(new)


def own(uv: Uv, asked: Requirements, interpreter: Interpreter, kept: Overlay = NOTHING) -> Lock:
    """All packages of an environment for this app alone. Raises UserError with one sentence.

    kept: what it has now, if that is to stay as far as it is still what the app asks for.
    """
    with uv.workplace() as place:
        files = [*_files(uv, [asked], place), engine.written(place, [asked])]
        if kept.packages is not None and _is_met(uv, asked, files, interpreter, kept, (), place):
            return kept.lock
        try:
            return _checked(asked, _compile(uv, [asked], files, interpreter, place, kept.lock), files)
        except Refused as refused:
            alone = _alone(uv, asked, files[:-1], interpreter, place) if asked.file else Lock()
            if sentence := engine.conflict(refused.text, asked, alone):
                raise asked.mistake(sentence) from refused
            present = engine.versions()
            if not any(alone.versions.get(name, version) != version for name, version in present.items()):
                _tell(asked, refused)
            sentence, _ = _difference(refused.text, alone, present, "Hedgerow's workers run on")
            raise asked.mistake(sentence) from refused


def brings(folder: Path, found: Lock) -> list[str]:
    """Those packages whose files lie in an app's folder: they go with its release, so nobody else may run with them."""
    return [package.name for package in found.packages if _is_within(folder, package)]


def together(uv: Uv, asked: Sequence[Requirements], kept: Overlay | None = None) -> Lock | Conflict:
    """The overlay for all these apps at once, each package as new as can be: it may replace what the base has, too.

    kept: what there is now. Then packages of the base stay in the version that apps see, and others as far as they can.
    """
    if conflict := _pythons(asked, running()):
        return conflict
    if not any(one.file for one in asked):
        return Lock()
    with uv.workplace() as place:
        files, links = [*_files(uv, asked, place), engine.written(place)], base.stand_ins(place.parent, NOTHING)
        pins: list[str | Path] = [] if kept is None else ["--constraints", _pins(_of_base(kept), place)]
        return _of_all(uv, asked, files, running(), kept or NOTHING, place, links, pins)


def apart(uv: Uv, asked: Sequence[Requirements], interpreter: Interpreter, kept: Overlay = NOTHING) -> Lock | Conflict:
    """All packages of an environment for these apps at once, without the base. kept: as in `own`."""
    if conflict := _pythons(asked, interpreter):
        return conflict
    with uv.workplace() as place:
        files = [*_files(uv, asked, place), engine.written(place, asked)]
        if kept.packages is not None and _is_met(uv, asked[0], files, interpreter, kept, (), place):
            return kept.lock
        return _of_all(uv, asked, files, interpreter, kept, place)


def _of_all(
    uv: Uv, asked: Sequence[Requirements], files: Sequence[Path], interpreter: Interpreter, kept: Overlay, place: Path,
    links: Path | None = None, more: Sequence[str | Path] = (),
) -> Lock | Conflict:  # fmt: skip
    """files: what they and the engine ask for; links: where the base's stand-ins are, which are not new."""
    what = [*files, *more] if links is None else [*files, *more, "--find-links", links]
    try:
        found = _compile(uv, asked, what, interpreter, place, kept.lock)
    except Refused as refused:
        if (machine := complaints.cause(refused.text)) is not None:
            raise UserError(complaints.sentence(refused.text)) from machine
        return Conflict(complaints.sentence(refused.text))
    if links is not None:
        found = _new(found, base.versions(), links)
    brought = [one for one in asked if brings(one.folder, found)]
    return Conflict(f"{brought[0].app} brings packages in its own folder") if brought else _hashed(found, files)


def _pythons(asked: Sequence[Requirements], interpreter: Interpreter) -> Conflict | None:
    """Why this one cannot run them all."""
    other = next((one for one in asked if not fits(one, interpreter)), None)
    if other is None:
        return None
    return Conflict(f"{other.app} needs Python {other.python}, but the pool runs on {interpreter.version}")


def _of_base(overlay: Overlay) -> dict[str, str]:
    """The packages of the base, in the versions that apps see: some may be hidden."""
    hidden = overlay.lock.versions
    return {name: hidden.get(name, version) for name, version in base.versions().items()}


def _pins(versions: Mapping[str, str], place: Path) -> Path:
    path = place / "present.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in sorted(versions.items()) if version))
    return path


def _is_met(
    uv: Uv, asked: Requirements, files: Sequence[Path], interpreter: Interpreter, overlay: Overlay,
    beneath: Sequence[str], place: Path,
) -> bool:  # fmt: skip
    """Whether what is there fulfils them, as uv sees it: with extras and markers, and all that follows; and with the
    hashes that they ask for. It takes no network. uv looks into one folder only, so it gets one in which all those
    packages seem to be.
    """
    view = place / "view"
    uv.run("venv", "--quiet", "--no-project", "--python", interpreter.path, view, cwd=asked.folder)
    base.show(base.packages_of(view), overlay, beneath)
    try:
        said = uv.run(
            "pip", "install", "--dry-run", "--offline", "--python", view, *_each("-r", files), cwd=asked.folder
        )
    except Refused:
        return False
    return "Would make no changes" in said and not isinstance(_hashed(overlay.lock, files), Conflict)


def _files(uv: Uv, asked: Sequence[Requirements], place: Path) -> list[Path]:
    """What uv is to read. A lock is read once: as a list with a version for each package."""
    files = []
    for number, one in enumerate(asked):
        if one.file == requirements.LOCK:
            path = place / f"locked-{number}.txt"
            options = ["--quiet", "--no-header", "--no-annotate", "--no-emit-project", "--no-default-groups"]
            try:
                uv.run("export", "--locked", "--offline", *options, "--output-file", path, cwd=one.folder)
            except Refused as refused:
                raise one.mistake(
                    f"it is not what {requirements.PROJECT} asks for; `uv lock` makes it anew"
                ) from refused
            files.append(path)
        elif one.file:
            files.append(one.path)
    return files


def _compile(
    uv: Uv,
    asked: Sequence[Requirements],
    what: Sequence[str | Path],
    interpreter: Interpreter,
    place: Path,
    preferred: Lock = NOTHING.lock,
) -> Lock:
    path = place / "pylock.toml"
    path.write_text(preferred.text, "utf-8")  # uv prefers the versions that it has
    options: list[str | Path] = [
        "--quiet",
        "--no-header",
        "--format",
        "pylock.toml",
        "--python",
        interpreter.path,
        *uv.builds,
    ]
    # uv reads the [tool.uv] of the folder that it runs in: an app may name its index there.
    run = functools.partial(uv.run, "pip", "compile", *options, "--output-file", path, *what, cwd=asked[0].folder)
    try:
        run()
    except Refused as refused:
        if not complaints.is_unreachable(refused.text):
            raise
        try:
            run("--offline")  # with what uv has heard before
        except Refused as without:
            raise refused if complaints.is_unreachable(without.text) else without from None
    found = lock.read(path.read_text("utf-8"), place)
    if folders := [package.name for package in found.packages if "directory" in package.table]:
        raise asked[0].mistake(f"{', '.join(folders)} is a folder, and only packages can be installed")
    return found


def _checked(asked: Requirements, found: Lock, files: Sequence[Path]) -> Lock:
    hashed = _hashed(found, files)
    if isinstance(hashed, Conflict):
        raise asked.mistake(hashed.sentence)
    return hashed


def _hashed(found: Lock, files: Sequence[Path]) -> Lock | Conflict:
    """With those files of packages that have the hashes asked for, which uv does not look at when it makes a lock."""
    hashes: dict[str, set[str]] = {}
    for file in files:
        for name, given in requirements.hashes(file).items() if file.suffix == ".txt" else ():
            hashes[name] = hashes.get(name, given) & given  # two apps may ask for the same package
    try:
        return found.only(hashes)
    except UserError as error:
        return Conflict(str(error))


def _new(found: Lock, present: Mapping[str, str], links: Path) -> Lock:
    """What of it is not there yet. What stands for a package that is there is never new, however versions are spelt."""
    return lock.of(one for one in found.without(present).packages if not _is_within(links, one))


def _alone(uv: Uv, asked: Requirements, files: Sequence[Path], interpreter: Interpreter, place: Path) -> Lock:
    """What fulfils these when nothing else is asked."""
    try:
        return _compile(uv, [asked], files, interpreter, place)
    except Refused as refused:
        _tell(asked, refused)


def _tell(asked: Requirements, refused: Refused) -> NoReturn:
    """Raises what nothing can fulfil; its cause is the machine's error, if it is one."""
    # Where the release lies says nothing to its author.
    sentence = re.sub(rf"(file://)?{re.escape(str(asked.folder))}/?", "", complaints.sentence(refused.text))
    raise asked.mistake(sentence) from (complaints.cause(refused.text) or refused)


def _difference(
    said: str, alone: Lock, present: Mapping[str, str], who: str = "the shared pool has"
) -> tuple[str, tuple[str, ...]]:
    """What stands between these requirements and what is there: a sentence, and the packages that would have another
    version. Of those only the ones that uv names, if it names any: others are just newer by now."""
    differing = [name for name, version in alone.versions.items() if present.get(name, version) != version]
    blamed = [name for name in differing if complaints.named(said, name)] or differing
    told = []
    for name in blamed:
        specs = [spec for spec in complaints.named(said, name) if spec != f"{name}=={present[name]}"]
        told.append(
            f"needs {specs[0] if specs else f'{name} {alone.versions[name]}'}, but {who} {name} {present[name]}"
        )
    return "; ".join(told) or complaints.sentence(said), tuple(blamed)


def _each(option: str, files: Sequence[Path]) -> list[str | Path]:
    return [word for file in files for word in (option, file)]


def _is_within(folder: Path, package: Package) -> bool:
    return any(Path(place).resolve().is_relative_to(folder.resolve()) for place in package.places)
