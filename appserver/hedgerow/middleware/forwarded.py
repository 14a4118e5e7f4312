"""Who the client is, when trusted proxies stand in between: what they say in X-Forwarded-* replaces what the connection
says.

Trust is counted: each proxy appends what it has seen, so of a list the last entries are the proxies' own, one each, and
all before them may be the client's invention. What is not trusted is removed, so that no application believes it. The
front that we ship overwrites these fields; in front of other ones nobody may stand who can be reached directly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option, within
from .answer import Environ

PROTOCOLS = ("http", "https")


@dataclass(frozen=True)
class Forwarded:
    """X-Forwarded-For becomes REMOTE_ADDR, -Proto wsgi.url_scheme, -Port SERVER_PORT; -Host and -Prefix, if they are
    trusted, HTTP_HOST and the beginning of SCRIPT_NAME.
    """

    application: WSGIApplication
    hops: int = option(1, "how many proxies stand between the client and this server", within(1, 20))
    host: bool = option(False, "whether X-Forwarded-Host is theirs, too")
    prefix: bool = option(False, "whether X-Forwarded-Prefix is theirs, too")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if address := self._told(environ, "HTTP_X_FORWARDED_FOR"):
            environ["REMOTE_ADDR"] = address
            environ.pop("REMOTE_PORT", None)  # it was the proxy's
        if (protocol := self._told(environ, "HTTP_X_FORWARDED_PROTO").lower()) in PROTOCOLS:
            environ["wsgi.url_scheme"] = protocol
        if (port := self._told(environ, "HTTP_X_FORWARDED_PORT")).isdecimal():
            environ["SERVER_PORT"] = port
        if host := self._told(environ, "HTTP_X_FORWARDED_HOST", self.host):
            environ["HTTP_HOST"] = host
        if (prefix := self._told(environ, "HTTP_X_FORWARDED_PREFIX", self.prefix).rstrip("/")).startswith("/"):
            environ["SCRIPT_NAME"] = prefix + environ.get("SCRIPT_NAME", "")
        environ.pop("HTTP_FORWARDED", None)  # RFC 7239: whose entries need not be one a proxy
        return self.application(environ, start_response)

    def _told(self, environ: Environ, name: str, trusted: bool = True) -> str:
        """What the first of the proxies has told, which stays; '' if nobody did. With fewer entries than proxies the
        request has not come through all of them, and nothing is believed.
        """
        told: str = environ.get(name, "") if trusted else ""
        if "," in told or self.hops > 1:
            entries = told.split(",")
            told = entries[-self.hops].strip() if len(entries) >= self.hops else ""
            environ[name] = told
        if not told:
            environ.pop(name, None)
        return told
