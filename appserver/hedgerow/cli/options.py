"""Options of the command line, made from the record in config.py where each is written once; how errors are told."""

from __future__ import annotations

import dataclasses
import errno
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..config import ENV_PREFIX, Settings
from ..errors import HedgerowError, UserError

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(name: str, default: str = "") -> Callable[[Command], Command]:
    """The option `--name` of the setting `name`. default: what help says if this verb has another one."""
    option = next(option for option in dataclasses.fields(Settings) if option.name == name)
    kind = typing.get_type_hints(Settings)[name]
    shown = default or (str(option.default) if option.default is not dataclasses.MISSING else "")
    unit = f" [{option.metadata['unit']}]" if option.metadata["unit"] else ""
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=click.Path(path_type=Path) if kind is Path else kind,
        default=None,  # not given: the environment, then the record's default
        metavar="DIR" if kind is Path else None,
        help=f"{_sentence(option.metadata['help'])}{unit} (default {shown}; {ENV_PREFIX}{name.upper()}).",
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


class Failed(click.ClickException):
    """An error on purpose, as one sentence without a traceback."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        click.echo(f"hedgerow: {self.message}", err=True)


class Mistake(Failed):
    """A user's."""

    exit_code = 2


class Group(click.Group):
    """The verbs in the order they are written, with errors on purpose told as sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise Mistake(str(error)) from error
        except HedgerowError as error:
            raise Failed(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # who read our output has gone; click ends quietly
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise Mistake(f"{where}{error.strerror or error}") from error
