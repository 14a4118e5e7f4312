"""XML answers as pages: a stylesheet (XSLT 1.0, by lxml) makes HTML, text or other XML of them.

The stylesheet is compiled when the app is loaded, and an error in it is an error of loading. What it makes is sent as
its `xsl:output` says. An answer that cannot be transformed is a 500 whose cause is in the log, with the stylesheet's
line. libxml2 and libxslt run to their end: nothing else runs in a worker on greenlets meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from ..options import REQUIRED, option
from .answer import Environ, Headers, value, without
from .filters import Buffering, NotChangedError
from .stylesheet import DocumentError, Stylesheet, StylesheetError

_STATUSES = ("200", "201", "202", "203")  # an error, a redirect, a part of an answer is none that it is made for
_NAME = re.compile(r"(?!profile_run$)[^\W\d_][\w.-]*")  # of a parameter; lxml has an argument of that other name

_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([\w.:-]+)""", re.ASCII | re.IGNORECASE)


def _check_names(names: Mapping[str, str] | tuple[str, ...]) -> str | None:
    return next((f"{one!r} is no name of a parameter" for one in names if not _NAME.fullmatch(one)), None)


@dataclass(frozen=True, kw_only=True)
class Xslt(Buffering):
    """Its answers have no ETag and no Last-Modified: those of the application stay when the stylesheet changes."""

    stylesheet: Path = option(REQUIRED, "the file; what it includes or reads by document() is in its folder")
    types: tuple[str, ...] = option(
        ("application/xml", "text/xml"), "media types that are transformed; add application/*+xml for more"
    )
    parameters: Mapping[str, str] = option(dict, "texts for the stylesheet's parameters, by name", _check_names)
    query: tuple[str, ...] = option((), "parameters that a client may give in the query", _check_names)
    _sheet: Stylesheet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "_sheet", Stylesheet(self.stylesheet))
        except StylesheetError as error:
            raise ValueError(str(error)) from error

    def fits(self, status: str, headers: Headers) -> bool:
        return status[:3] in _STATUSES and super().fits(status, headers)

    def head(self, headers: Headers) -> Headers:
        kept = without(headers, "content-type", "etag", "last-modified")
        return [("Content-Type", self._sheet.media_type), *kept]

    def body_of(self, environ: Environ, headers: Headers, body: bytes) -> bytes:
        charset = _CHARSET.search(value(headers, "content-type"))
        try:
            given = {**self.parameters, **self._asked(environ)}
            return self._sheet.transform(body, given, charset[1] if charset else "")
        except DocumentError as error:
            raise NotChangedError(error.sentence, f"xslt: {self.stylesheet.name}: {error.cause}") from error
        except StylesheetError as error:
            raise NotChangedError("The answer could not be transformed.", f"xslt: {error}") from error

    def _asked(self, environ: Environ) -> dict[str, str]:
        if not self.query:
            return {}
        given = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        return {name: one for name, one in given if name in self.query}
