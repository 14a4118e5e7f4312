"""The shipped files for IIS, as far as they can be checked without Windows.

Well-formed; nothing in them that IIS, URL Rewrite and ARR do not know, by tables written from their documentation; and
what the one rule makes of a request, by a small evaluation of what stands in it. That IIS does the same is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB, HOST = (ROOT / "iis" / name for name in ("web.config", "applicationHost.config"))
Check = Callable[[str], bool]


def one_of(*values: str) -> Check:
    return values.__contains__


def number(most: int) -> Check:
    return lambda text: text.isdecimal() and int(text) <= most


def regex(text: str) -> bool:
    re.compile(text)
    return True


def text(value: str) -> bool:
    return True


def span(value: str) -> bool:
    return re.fullmatch(r"\d\d:[0-5]\d:[0-5]\d", value) is not None


yes_no = one_of("true", "false")
UINT = number(2**32 - 1)
PROXY = {
    "enabled": yes_no, "preserveHostHeader": yes_no, "timeout": span, "reverseRewriteHostInResponseHeaders": yes_no,
    "xForwardedForHeaderName": text, "minResponseBuffer": UINT, "responseBufferLimit": UINT,
}  # fmt: skip
RULES = "system.webServer/rewrite/rules"
OUTBOUND = "system.webServer/rewrite/outboundRules"
FILTERING = "system.webServer/security/requestFiltering"
FARM = "webFarms/webFarm"
# Path of an element → its attributes and what they may be. What is not here IIS refuses with 500.19.
KNOWN: dict[str, dict[str, Check]] = {
    "system.webServer": {},
    "system.webServer/rewrite": {},
    "system.webServer/rewrite/rewriteMaps": {},
    "system.webServer/rewrite/rewriteMaps/rewriteMap": {"name": text, "defaultValue": text, "ignoreCase": yes_no},
    "system.webServer/rewrite/rewriteMaps/rewriteMap/add": {"key": text, "value": text},
    RULES: {"useOriginalURLEncoding": yes_no},
    f"{RULES}/clear": {},
    f"{RULES}/rule": {
        "name": text, "enabled": yes_no, "stopProcessing": yes_no,
        "patternSyntax": one_of("ECMAScript", "Wildcard", "ExactMatch"),
    },
    f"{RULES}/rule/match": {"url": regex, "ignoreCase": yes_no, "negate": yes_no},
    f"{RULES}/rule/action": {
        "type": one_of("Rewrite", "Redirect", "CustomResponse", "AbortRequest", "None"), "url": text,
        "appendQueryString": yes_no, "logRewrittenUrl": yes_no,
    },
    f"{RULES}/rule/serverVariables": {},
    f"{RULES}/rule/serverVariables/set": {"name": text, "value": text, "replace": yes_no},
    OUTBOUND: {},
    f"{OUTBOUND}/rule": {"name": text},
    f"{OUTBOUND}/rule/match": {"serverVariable": text, "pattern": regex},
    f"{OUTBOUND}/rule/action": {"type": one_of("Rewrite", "None"), "value": text},
    "system.webServer/rewrite/allowedServerVariables": {},
    "system.webServer/rewrite/allowedServerVariables/add": {"name": text},
    "system.webServer/security": {},
    FILTERING: {"allowDoubleEscaping": yes_no, "allowHighBitCharacters": yes_no},
    f"{FILTERING}/requestLimits": {"maxAllowedContentLength": UINT, "maxUrl": UINT, "maxQueryString": UINT},
    f"{FILTERING}/hiddenSegments": {},
    f"{FILTERING}/hiddenSegments/clear": {},
    f"{FILTERING}/fileExtensions": {"allowUnlisted": yes_no},
    f"{FILTERING}/fileExtensions/clear": {},
    f"{FILTERING}/verbs": {"allowUnlisted": yes_no},
    f"{FILTERING}/verbs/clear": {},
    f"{FILTERING}/verbs/add": {"verb": text, "allowed": yes_no},
    "system.webServer/httpErrors": {"existingResponse": one_of("Auto", "Replace", "PassThrough")},
    "system.webServer/urlCompression": {"doStaticCompression": yes_no, "doDynamicCompression": yes_no},
    "system.webServer/webSocket": {"enabled": yes_no},
    "system.webServer/proxy": PROXY,
    "webFarms": {},
    FARM: {"name": text, "enabled": yes_no},
    f"{FARM}/server": {"address": text, "enabled": yes_no},
    f"{FARM}/server/applicationRequestRouting": {"httpPort": number(65535)},
    f"{FARM}/applicationRequestRouting": {},
    f"{FARM}/applicationRequestRouting/protocol": {name: check for name, check in PROXY.items() if name != "enabled"},
    f"{FARM}/applicationRequestRouting/protocol/cache": {"enabled": yes_no},
    f"{FARM}/applicationRequestRouting/loadBalancing": {
        "algorithm": one_of("WeightedRoundRobin", "LeastRequests", "LeastResponseTime", "RequestHash"),
    },
}  # fmt: skip


def elements(within: Element, path: str = "") -> Iterator[tuple[str, Element]]:
    for child in within:
        here = f"{path}/{child.tag}".lstrip("/")
        yield here, child
        yield from elements(child, here)


@pytest.mark.parametrize("file", [WEB, HOST], ids=lambda file: file.name)
def test_nothing_is_there_that_iis_does_not_know(file: Path) -> None:
    root = ElementTree.parse(file).getroot()
    assert root.tag == "configuration"
    for path, element in elements(root):
        assert path in KNOWN, path
        for name, value in element.attrib.items():
            assert name in KNOWN[path], (path, name)
            assert KNOWN[path][name](value), (path, name, value)
        assert not (element.text or "").strip(), path


@pytest.mark.parametrize("file", [WEB, HOST], ids=lambda file: file.name)
def test_it_says_that_it_was_not_tried(file: Path) -> None:
    assert "NOT TRIED ON WINDOWS" in file.read_text("utf-8")


# --- what the rule makes of a request ---------------------------------------------------------------------------------

CLIENT = {
    "UNENCODED_URL": "/blog/a%2Fb//c;d?x=%20", "REMOTE_ADDR": "203.0.113.7", "HTTPS": "on", "SERVER_PORT": "8443",
    "HTTP_HOST": "shop.example:8443", "HTTP_ACCEPT": "text/html",
}  # fmt: skip
OWN = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "shop.example:8443", "HTTP_X_FORWARDED_PORT": "8443", "HTTP_X_REAL_IP": "203.0.113.7",
    "HTTP_X_HEDGEROW_ROUND": "2", "HTTP_X_HEDGEROW_FRONT": "iis",
}  # fmt: skip


def filled(template: str, variables: dict[str, str], maps: dict[str, Element]) -> str:
    """{NAME} is a variable and {map:{NAME}} what a map has for it, from the inside out."""

    def one(found: re.Match[str]) -> str:
        name, colon, key = found[1].partition(":")
        if not colon:
            return variables.get(name, "")
        held = {add.attrib["key"]: add.attrib["value"] for add in maps[name]}
        return held.get(key, maps[name].attrib["defaultValue"])

    while (after := re.sub(r"\{([^{}]*)\}", one, template)) != template:
        template = after
    return template


def rewritten(variables: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The URL that is asked for, and the header variables that are not empty."""
    root = ElementTree.parse(WEB).getroot()
    maps = {one.attrib["name"]: one for one in root.iter("rewriteMap")}
    [rule] = root.iterfind(f"{RULES}/rule")
    [match], [action] = rule.iter("match"), rule.iter("action")
    path = variables["UNENCODED_URL"].partition("?")[0].lstrip("/")
    assert re.search(match.attrib["url"], path, re.IGNORECASE)
    assert (action.attrib["type"], action.attrib["appendQueryString"]) == ("Rewrite", "false")
    sets = {one.attrib["name"]: filled(one.attrib["value"], variables, maps) for one in rule.iter("set")}
    headers = {name: value for name, value in {**variables, **sets}.items() if name.startswith("HTTP_") and value}
    return filled(action.attrib["url"], variables, maps), headers


@pytest.mark.parametrize("path", ["/", "/blog/a%2Fb//c;d?x=%20", "/caf%C3%A9?", "//", "/bin/a.config", "/%252F+"])
def test_every_path_goes_to_the_farm_as_it_was_sent(path: str) -> None:
    url, _ = rewritten({**CLIENT, "UNENCODED_URL": path})
    [farm] = ElementTree.parse(HOST).getroot().iter("webFarm")
    assert url == f"http://{farm.attrib['name']}{path}"
    [rules] = ElementTree.parse(WEB).getroot().iter("rules")
    assert rules.attrib["useOriginalURLEncoding"] == "false"


def test_headers_are_the_fronts_own_whatever_the_client_claims() -> None:
    assert rewritten(CLIENT)[1] == {"HTTP_HOST": CLIENT["HTTP_HOST"], "HTTP_ACCEPT": "text/html", **OWN}
    claims = dict.fromkeys([*names_that_nginx_sets(), "HTTP_X_HEDGEROW_CACHE", "HTTP_X_HEDGEROW_MOUNT"], "evil")
    assert rewritten({**claims, **CLIENT})[1] == rewritten(CLIENT)[1]
    assert rewritten({**CLIENT, "HTTPS": "off"})[1]["HTTP_X_FORWARDED_PROTO"] == "http"


def test_the_one_word_that_a_worker_says_unasked_is_taken_off() -> None:
    [rule] = ElementTree.parse(WEB).getroot().iterfind(f"{OUTBOUND}/rule")
    [match], [action] = rule.iter("match"), rule.iter("action")
    assert (match.attrib["serverVariable"], action.attrib["value"]) == ("RESPONSE_X_Accel_Buffering", "")
    assert re.search(match.attrib["pattern"], "no")


def names_that_nginx_sets() -> list[str]:
    """Each header that nginx's front sets or takes away, but for those of the connection itself."""
    told = (ROOT / "nginx" / "snippets" / "request-headers.conf").read_text()
    names = re.findall(r"^proxy_set_header (\S+) ", told, re.MULTILINE)
    assert len(names) > 30
    return [f"HTTP_{name.upper().replace('-', '_')}" for name in names if name not in ("Host", "Connection", "Upgrade")]


def test_the_server_allows_each_header_that_the_site_sets() -> None:
    sets = [one.attrib["name"] for one in ElementTree.parse(WEB).getroot().iter("set")]
    [allowed] = ElementTree.parse(HOST).getroot().iter("allowedServerVariables")
    assert [one.attrib["name"] for one in allowed] == sets
    assert len(set(sets)) == len(sets)


def test_the_farm_has_names_of_its_own_for_each_address() -> None:
    [farm] = ElementTree.parse(HOST).getroot().iter("webFarm")
    servers = farm.findall("server")
    assert len({one.attrib["address"] for one in servers}) == len(servers) == 2
    ports = [one.attrib["httpPort"] for one in farm.iter("applicationRequestRouting") if "httpPort" in one.attrib]
    assert ports == ["8001", "8002"]
