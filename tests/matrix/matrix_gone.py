"""What people may look for, and cannot have any more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gone:
    name: str
    reason: str
    successor: str


GONE = (
    Gone("mod_python", "left by Apache in 2010; its 3.5 is on GitHub and in Debian 12, and was not tried", "mod_wsgi"),
    Gone("SkunkWeb", "never for Python 3; not on PyPI", "any framework with templates; FastCGI or a proxy to Apache"),
    Gone(
        "Medusa",
        "0.5.4 is for Python 2, and stands on asyncore, which left Python with 3.12",
        "Waitress, which descends from it by way of Zope's server",
    ),
    Gone("WSGId", "0.9 is for Python 2, behind Mongrel2", "any server of the first table behind nginx"),
    Gone("web2py from PyPI", "2.1.1 of 2012 does not build; py4web is what its makers continue", "py4web"),
    Gone(
        "Google App Engine's Python 2 runtime",
        "Python 2; `webapp2` and the old SDK went with it",
        "a Flask app with `appengine-python-standard`, the SDK for Python 3",
    ),
    Gone(
        "meinheld", "1.0.2 of 2020 wants a greenlet that does not compile on Python 3.11", "bjoern, gunicorn, Hedgerow"
    ),
    Gone(
        "SCGI libraries",
        "flup is of 2018, wsgitools of 2020; scgi has no entry for WSGI, fcgisgi no SCGI",
        "FastCGI, or HTTP",
    ),
)
