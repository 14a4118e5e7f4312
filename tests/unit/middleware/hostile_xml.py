"""XML documents that mean harm, and processes of their own that transform them and tell what each has cost.

Run as a program with the path of a stylesheet it prints a line for each: its name, and the status, the client's
sentence, the log, the milliseconds, and by how many MB the process grew at its highest.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from asking_middleware import App, ask_and_read

from hedgerow.middleware.xslt import Xslt

MB = 1_000_000  # the limit when nothing else is said


def long(head: str, unit: str, tail: str = "") -> str:
    return head + unit * ((MB - len(head) - len(tail)) // len(unit)) + tail


def doctype(declarations: str) -> str:
    return f"<!DOCTYPE r [{declarations}]>"


LAUGHS = '<!ENTITY a "xxxxxxxxxx">' + "".join(
    f'<!ENTITY {chr(98 + level)} "{f"&{chr(97 + level)};" * 10}">' for level in range(12)
)
SECRET = Path(__file__).as_uri()

# Refused while they are read, or right behind that.
REFUSED: dict[str, Callable[[], str]] = {
    "entity bomb": lambda: doctype(LAUGHS) + "<r>&m;</r>",
    "entity bomb in an attribute": lambda: doctype(LAUGHS) + '<r a="&m;"/>',
    "small entity bombs": lambda: long(doctype(LAUGHS) + "<r>", '<e a="&d;"/>', "</r>"),
    "quadratic entity": lambda: long(doctype(f'<!ENTITY a "{"x" * 400_000}">') + "<r>", "&a;", "</r>"),
    "entity of itself": lambda: doctype('<!ENTITY a "&a;">') + "<r>&a;</r>",
    "external entity": lambda: doctype(f'<!ENTITY a SYSTEM "{SECRET}">') + "<r>&a;</r>",
    "entity of the network": lambda: doctype('<!ENTITY a SYSTEM "http://127.0.0.1:9/">') + "<r>&a;</r>",
    "external parameter entity": lambda: doctype(f'<!ENTITY % a SYSTEM "{SECRET}"> %a;') + "<r/>",
    "external doctype": lambda: f'<!DOCTYPE r SYSTEM "{SECRET}"><r/>',
    "harmless doctype": lambda: "<!DOCTYPE r><r/>",
    "long default attributes": lambda: long(doctype(f'<!ATTLIST e a CDATA "{"x" * 100_000}">') + "<r>", "<e/>", "</r>"),
    "deep": lambda: "<a>" * (MB // 7) + "</a>" * (MB // 7),
    "300 deep": lambda: "<a>" * 300 + "</a>" * 300,
    "deep and open": lambda: "<a>" * (MB // 3),
    "many attributes": lambda: "<r " + " ".join(f'a{number}="1"' for number in range(90_000)) + "/>",
    "many namespaces": lambda: "<r" + "".join(f' xmlns:n{one}="u:{one}"' for one in range(38_000)) + "/>",
    "two roots": lambda: "<r/><r/>",
    "nothing": lambda: "",
    "no XML": lambda: "hello",
    "a zero": lambda: "<r>\0</r>",
    "unknown encoding": lambda: '<?xml version="1.0" encoding="nope"?><r/>',
    "wrong encoding": lambda: '<?xml version="1.0" encoding="UTF-16"?><r/>',
}
# Transformed, and no harm.
TAKEN: dict[str, Callable[[], str]] = {
    "small elements": lambda: long("<r>", "<a/>", "</r>"),
    "small elements and texts": lambda: long("<r>", "<a>b</a>", "</r>"),
    "processing instructions": lambda: long("<r>", "<?a b?>", "</r>"),
    "a stylesheet of its own": lambda: f'<?xml-stylesheet type="text/xsl" href="{SECRET}"?><r/>',
    "an inclusion": lambda: (
        f'<r xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="{SECRET}" parse="text"/></r>'
    ),
    "comments": lambda: long("<r>", "<!---->", "</r>"),
    "character references": lambda: long("<r>", "&#65;", "</r>"),
    "a long attribute": lambda: f'<r a="{"x" * (MB - 10)}"/>',
    "250 deep": lambda: "<a>" * 250 + "</a>" * 250,
    "a long name": lambda: f"<{'x' * 40_000}/>",
    "namespaces": lambda: "<r>" + "".join(f'<a xmlns:n{one}="u:{one}"/>' for one in range(30_000)) + "</r>",
}


def endless() -> Iterator[bytes]:
    """100 MB, a MB at a time."""
    yield b"<r>"
    for number in range(100):
        yield b"%d" % number * (MB // len(str(number)))
    yield b"</r>"


def ever_other_names(sheet: Path) -> float:
    """By how many MB the process has grown for good with 30 documents of 1 MB, of which none has a name of another."""

    def read(number: int) -> None:
        names = "".join(f"<n{number}_{one}_{'x' * 25}/>" for one in range(25_000))
        app = App([f"<r>{names}</r>".encode()], (("Content-Type", "application/xml"),))
        assert ask_and_read(functools.partial(Xslt, stylesheet=sheet), app)[0].status == "200 OK"

    def size() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    read(0)
    before = size()
    for number in range(1, 31):
        read(number)
    return (size() - before) / MB


def grown() -> int:
    """The process's highest size, in MB, and from now on counted again."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (highest,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    Path("/proc/self/clear_refs").write_text("5")
    return highest // 1024


def measured(sheet: Path, blocks: Iterable[bytes]) -> dict[str, object]:
    app = App(blocks, (("Content-Type", "application/xml"),))
    grown()
    before, began = grown(), time.perf_counter()
    answer, log = ask_and_read(functools.partial(Xslt, stylesheet=sheet), app)
    ms = (time.perf_counter() - began) * 1000
    body = answer.body[:500].decode("utf-8", "replace")
    return {"status": answer.status, "body": body, "log": log, "ms": ms, "mb": grown() - before, "closed": app.closed}


def eight_at_once(sheet: Path) -> int:
    """By how many MB the process has been larger while eight threads transformed the smallest elements."""
    document = TAKEN["small elements"]().encode()

    def read() -> None:
        ask_and_read(functools.partial(Xslt, stylesheet=sheet), App([document], (("Content-Type", "application/xml"),)))

    grown()
    before = grown()
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return grown() - before


def alone(name: str, sheet: Path, make: Callable[[], Iterable[bytes]]) -> None:
    """Print what it costs a process that has seen none of the others, and has what they freed for nobody."""
    if not (child := os.fork()):
        print(json.dumps([name, measured(sheet, make())]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name


if __name__ == "__main__":
    path = Path(sys.argv[1])
    for name, make in (REFUSED | TAKEN).items():
        alone(name, path, functools.partial(lambda make: [make().encode()], make))
    alone("100 MB", path, endless)
    print(json.dumps(["eight at once", {"mb": eight_at_once(path)}]))
    print(json.dumps(["ever other names", {"mb": ever_other_names(path)}]))
