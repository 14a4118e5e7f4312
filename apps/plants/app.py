"""A catalogue of hedgerow plants that is XML and nothing else.

The app knows no HTML. That a browser is shown a page is the work of the middleware that `app.toml` puts around it: each
answer whose type is XML passes the stylesheet `style/page.xsl`, and the app does not know. `witness.py` stands outside
and inside of that, and writes on the answer what it sees. On a server without middleware the same app answers with the
XML. `catalogue.xml` is the XML in any case: its `no-transform` says that nobody on the way may change it (RFC 9111,
5.2.2.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment
from xml.etree import ElementTree


class Plant(NamedTuple):
    name: str
    latin: str
    height_m: float
    flowers: int  # the month in which it begins
    note: str


PLANTS = [
    Plant("Blackthorn", "Prunus spinosa", 4, 3, "White before its leaves are out. Its sloes are best after a frost."),
    Plant("Hawthorn", "Crataegus monogyna", 8, 5, "The hedge itself: thorns, and berries for the birds until spring."),
    Plant("Hazel", "Corylus avellana", 6, 1, "Catkins in the snow. Cut to the ground it lives for centuries."),
    Plant("Dog rose", "Rosa canina", 3, 6, "Hips with more vitamin C than oranges."),
    Plant("Elder", "Sambucus nigra", 7, 6, "Flowers for cordial, berries for syrup; never cut down unasked."),
    Plant("Honeysuckle", "Lonicera periclymenum", 6, 6, "It winds clockwise, and smells for the moths at night."),
    Plant("Field maple", "Acer campestre", 12, 4, "Butter yellow in October."),
    Plant("Spindle", "Euonymus europaeus", 5, 5, "Pink fruits with orange seeds: look & do not eat."),
]


def catalogue() -> bytes:
    root = ElementTree.Element("catalogue", title="Plants of a hedgerow")
    for plant in PLANTS:
        element = ElementTree.SubElement(root, "plant")
        for name, value in zip(Plant._fields, plant, strict=True):
            ElementTree.SubElement(element, name).text = str(value)
    return ElementTree.tostring(root, "utf-8", xml_declaration=True)


CATALOGUE = catalogue()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
    headers, body = [("Content-Type", "text/plain; charset=utf-8")], b""
    if path not in ("", "/", "/catalogue.xml"):
        status, body = "404 Not Found", b"There is the catalogue at the root, and catalogue.xml.\n"
    elif method not in ("GET", "HEAD"):
        status, body = "405 Method Not Allowed", b"A catalogue can only be read.\n"
        headers.append(("Allow", "GET, HEAD"))
    elif path == "":
        # The page's links are relative, so its address must end with a slash.
        here = environ.get("SCRIPT_NAME", "").rpartition("/")[2]
        status = "308 Permanent Redirect"
        headers.append(("Location", quote(here, encoding="latin-1") + "/"))
    else:
        status, body = "200 OK", CATALOGUE
        caching = "max-age=60" if path == "/" else "max-age=60, no-transform"
        headers = [("Content-Type", "application/xml"), ("Cache-Control", caching)]
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [] if method == "HEAD" else [body]
