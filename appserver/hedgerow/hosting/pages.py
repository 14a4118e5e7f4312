"""The pages that the host answers itself: finite, self-contained, and without secrets.

Each is (status, headers, body); as JSON where the Accept header prefers that. One for a request that an app could not
answer names the cause in a word, and the request. A traceback is shown only where the caller gives one, which is while
an app is developed (errorpage.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from ..errors import LoadError
from . import errorpage
from .failure import Failure
from .mounts import Mount

Page = tuple[str, list[tuple[str, str]], bytes]

_STYLE = """
:root{color-scheme:light dark;--ink:#22301f;--soft:#63705f;--line:#d9e0d3;--paper:#fafbf7;--up:#2f7d32;--down:#b3372b}
@media(prefers-color-scheme:dark){:root{--ink:#e4eadf;--soft:#9aa894;--line:#38432f;--paper:#171c14;--up:#7cc47f;--down:#f0877a}}
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,sans-serif}
main{max-width:42rem;margin:0 auto;padding:12vh 1.5rem 4rem}
h1{font-size:1.6rem;margin:0 0 .6rem;overflow-wrap:anywhere;text-wrap:balance}
p{margin:.4rem 0;overflow-wrap:anywhere}small,.soft{color:var(--soft)}
ul{list-style:none;margin:1.6rem 0 0;padding:0;border-top:1px solid var(--line)}
li{display:flex;gap:1rem;align-items:baseline;padding:.7rem 0;border-bottom:1px solid var(--line)}
li a,.soft{min-width:0;overflow-wrap:anywhere}li a{font-weight:600;color:inherit}
li span:last-child{margin-left:auto;white-space:nowrap}
.up::before,.down::before{content:"";display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.5em}
.up::before{background:var(--up)}.down::before{background:var(--down)}code{font-size:.9em}
"""
_NO_APPS = "<p>No app is here yet. Put a folder with an <code>app.py</code> into the apps folder.</p>"


_REFUSED = {
    "full": "Too many requests are being served at the moment. Please try again.",
    "starting": "The app is being started. Please try again.",
}


class Listed(Protocol):
    """What the index shows of an app."""

    @property
    def name(self) -> str: ...
    @property
    def mount(self) -> Mount: ...
    @property
    def error(self) -> LoadError | None: ...


def index(apps: Iterable[Listed], accept: str = "") -> Page:
    """All apps with links to them, for `/` when no app is mounted there."""
    rows = [(app.name, app.mount, "up" if app.error is None else "down") for app in apps]
    items = "".join(
        f'<li><a href="{escape(mount.link)}">{escape(name)}</a>'
        f'<span class="soft">{escape(str(mount))}</span><span class="{state}">{state}</span></li>'
        for name, mount, state in rows
    )
    found = [{"name": name, "mount": str(mount), "link": mount.link, "state": state} for name, mount, state in rows]
    return _page("200 OK", "Apps", f"<ul>{items}</ul>" if rows else _NO_APPS, {"apps": found}, accept)


def not_found(accept: str = "") -> Page:
    text = "No app answers at this address."
    return _page("404 Not Found", "Nothing is here", f"<p>{text}</p>", {"error": text}, accept)


def app_down(name: str, accept: str = "", failure: Failure | None = None, request_id: str = "") -> Page:
    """For the mount of an app that could not be loaded. failure: shown if it is given."""
    if failure is not None:
        note = "What ran before runs no more. Save a change and load this page again."
        return _shown("503 Service Unavailable", f"{name} cannot be loaded", note, failure, accept)
    text = f"The app {name} could not be started. The traceback is in the log and in `hedgerow status`."
    told = _Told("503 Service Unavailable", f"{name} is down", text, "down", request_id, 10)
    return _tell(told, accept, app=name)


def not_here(name: str, sentence: str, accept: str = "") -> Page:
    """For the mount of an app that what serves here cannot have; the sentence says why."""
    told = _Told("503 Service Unavailable", f"{name} is not served here", f"{name}: {sentence}.", "down")
    return _tell(told, accept, app=name)


def failed(request_id: str, accept: str = "", failure: Failure | None = None) -> Page:
    """For a request on which its app raised. failure: shown if it is given."""
    if failure is not None:
        note = f"In the log this request has the number {request_id}."
        return _shown("500 Internal Server Error", "The app failed on this request", note, failure, accept)
    text = "The app failed on this request. Why is in the log."
    return _tell(_Told("500 Internal Server Error", "Something went wrong", text, "error", request_id), accept)


def broken_off(request_id: str, accept: str = "") -> Page:
    """For a request whose pool ended before it answered."""
    text = "The app ended before it answered this request."
    return _tell(_Told("502 Bad Gateway", "The app ended", text, "crashed", request_id), accept)


def late(request_id: str, accept: str = "", cause: str = "deadline") -> Page:
    """For a request that was ended when its time was over. cause: `deadline`, or `blocked`: it kept others waiting."""
    text = "The app took too long to answer this request."
    return _tell(_Told("504 Gateway Timeout", "Too late", text, cause, request_id), accept)


def refused(retry_after_s: int = 1, accept: str = "", cause: str = "full", request_id: str = "") -> Page:
    """For a request that no address had room for. cause: RefusedError's."""
    text = _REFUSED.get(cause, _REFUSED["full"])
    return _tell(_Told("503 Service Unavailable", "Busy", text, cause, request_id, retry_after_s), accept)


def too_large(max_bytes: int, accept: str = "", request_id: str = "") -> Page:
    """For a request whose body is larger than its app takes."""
    text = f"This app takes at most {max_bytes:,} bytes in a request."
    return _tell(_Told("413 Content Too Large", "Too large", text, "body", request_id), accept)


def too_many(retry_after_s: int, accept: str = "", request_id: str = "") -> Page:
    """For a request beyond an app's rates."""
    text = "More requests have come than this app takes in a second. Please try again."
    return _tell(_Told("429 Too Many Requests", "Slow down", text, "rate", request_id, retry_after_s), accept)


@dataclass(frozen=True)
class _Told:
    """What a page says of a request that its app did not answer. text: one sentence or two, with `code` in it; cause:
    one word, as in the log; retry_after_s: when it may be sent again, 0 if nobody knows.
    """

    status: str
    title: str
    text: str
    cause: str
    request_id: str = ""
    retry_after_s: int = 0


def _tell(told: _Told, accept: str, **facts: str) -> Page:
    html = re.sub("`([^`]*)`", r"<code>\1</code>", escape(told.text))
    number = f" · request <code>{escape(told.request_id)}</code>" if told.request_id else ""
    html = f"<p>{html}</p><p><small>{told.cause}{number}</small></p>"
    if told.request_id:
        facts["request_id"] = told.request_id
    headers = [("Retry-After", str(told.retry_after_s))] if told.retry_after_s else None
    return _page(told.status, told.title, html, {"error": told.text, "cause": told.cause, **facts}, accept, headers)


def _shown(status: str, title: str, note: str, failure: Failure, accept: str) -> Page:
    """For the app's author: as text unless a browser asks."""
    if "text/html" not in accept.lower() and not prefers_json(accept):
        text = errorpage.text(status, note, failure)
        return _answer(status, "text/plain; charset=utf-8", text.encode("utf-8", "replace"))
    facts = {"error": failure.sentence, "traceback": failure.traceback}
    return _page(status, title, errorpage.html(note, failure), facts, accept, style=_STYLE + errorpage.STYLE)


def _page(
    status: str,
    title: str,
    html: str,
    facts: dict[str, Any],
    accept: str,
    headers: list[tuple[str, str]] | None = None,
    style: str = _STYLE,
) -> Page:
    if prefers_json(accept):
        body = json.dumps({"status": int(status[:3]), **facts}).encode() + b"\n"
        return _answer(status, "application/json", body, headers)
    # A folder's name need not be UTF-8; what is not is shown as '?'.
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{style}</style><main><h1>{escape(title)}</h1>{html}</main></html>\n"
    ).encode("utf-8", "replace")
    return _answer(status, "text/html; charset=utf-8", body, headers)


def _answer(status: str, kind: str, body: bytes, headers: list[tuple[str, str]] | None = None) -> Page:
    common = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Vary", "Accept"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ]
    return status, common + (headers or []), body


def prefers_json(accept: str) -> bool:
    """Whether an Accept header prefers application/json to text/html: by weight, or if equal by naming only it."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[kind] = max(weight, weights.get(kind, 0.0))

    def preference(kind: str, group: str) -> tuple[float, bool]:
        return weights.get(kind, weights.get(group, weights.get("*/*", 0.0))), kind in weights

    wanted = preference("application/json", "application/*")
    return wanted[0] > 0 and wanted > preference("text/html", "text/*")
