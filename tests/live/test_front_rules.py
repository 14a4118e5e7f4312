"""The checkers over the front's files as each kind of installation has them: gixy-next, gixy-ng, and our own rules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_rules import findings
from https_support import FILES, ROOT, certificate, open_folder, with_http3

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs

# What may stand, and why.
REASONS = {
    "http: merge_slashes off": (
        "the worker gets the target as it came, and decides; nginx guards nothing by a prefix of the path, so there is "
        "nothing that `//` could get around (snippets/raw-path.conf)"
    ),
}
REASONS_OF_GIXY = {
    "try_files_is_evil_too": (
        "without open_file_cache each file is looked up; with it one of an app's data that was replaced would be sent "
        "as it was, under the ETag that the worker has just made of the new one (snippets/files.conf)"
    ),
    "status_page_exposed": (
        "the counters are on the internal server, which is not published; replicas and Prometheus come from addresses "
        "that nobody knows before (snippets/modules/http_stub_status_module.conf)"
    ),
}
INSTALLATIONS: dict[str, dict[str, str]] = {
    "plain": {},
    "by name": {"HEDGEROW_UPSTREAM_HOST": "appserver", "HEDGEROW_METRICS_PORT": "8000"},
    "https": {"HEDGEROW_HTTPS": "on", "HEDGEROW_HSTS": "31536000", "HEDGEROW_ACME": "/srv/acme"},
    "development": {"HEDGEROW_HTTPS": "development"},
}


@pytest.fixture(params=INSTALLATIONS)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The main file of each kind of installation; its snippets are a copy that a test may change."""
    with open_folder() as folder:
        certificate(folder / "site.pem", "site.example")
        environ = {"PATH": os.environ["PATH"], "HEDGEROW_NGINX": str(with_http3().path)}
        environ |= {"HEDGEROW_FRONT_RUN": str(tmp_path), "HEDGEROW_CERTIFICATES": str(folder)}
        environ["HEDGEROW_CACHE_FOLDER"] = str(folder / "cache")
        subprocess.run([str(FILES / "render.sh")], env=environ | INSTALLATIONS[request.param], check=True)
        assert "include snippets/cache.conf;" in (tmp_path / "kept.conf").read_text()
        for name in ("snippets", "conf.d"):
            (tmp_path / name).unlink()
            shutil.copytree(FILES / name, tmp_path / name)
        yield tmp_path / "nginx.conf"


def test_every_finding_of_our_rules_has_a_reason(rendered: Path) -> None:
    assert findings(rendered) == list(REASONS)


@pytest.mark.parametrize(
    ("file", "text", "replacement", "found"),
    [
        ("snippets/limits.conf", "client_max_body_size 2g;", "", "no client_max_body_size"),
        ("snippets/limits.conf", "client_header_timeout 15s;", "", "no client_header_timeout"),
        ("snippets/limits.conf", "send_timeout 60s;\n\n", "\n", "no send_timeout"),
        ("snippets/limits.conf", "proxy_read_timeout 310s;", "", "location /: no proxy_read_timeout"),
        ("snippets/limits.conf", "client_max_body_size 2g;", "client_max_body_size 0;", "http: client_max_body_size 0"),
        (
            "snippets/limits.conf",
            "underscores_in_headers off",
            "underscores_in_headers on",
            "underscores_in_headers on",
        ),
        ("snippets/files.conf", "tcp_nopush on;", "", "no tcp_nopush"),
        ("snippets/limits.conf", "server_tokens off", "server_tokens on", "server_tokens"),
        (
            "snippets/rounds.conf",
            "set $round again;",
            "add_header X-New 1;",
            "@again: add_header drops strict-transport",
        ),
        (
            "snippets/rounds.conf",
            "set $round again;",
            "proxy_set_header X 1;",
            "@again: proxy_set_header drops x-request-id",
        ),
        ("snippets/https.conf", "ssl_session_tickets off;", "", "no ssl_session_tickets"),
        ("snippets/https.conf", "ssl_protocols TLSv1.2", "ssl_protocols TLSv1.1", "ssl_protocols TLSv1.1"),
    ],
    ids=lambda value: value[-40:],
)
@pytest.mark.parametrize("rendered", ["https"], indirect=True)
def test_a_rule_finds_what_it_is_for(rendered: Path, file: str, text: str, replacement: str, found: str) -> None:
    changed = rendered.parent / file
    before = changed.read_text()
    assert text in before
    changed.write_text(before.replace(text, replacement))
    new = [finding for finding in findings(rendered) if finding not in REASONS]
    assert any(found in finding for finding in new), new


def test_every_finding_of_gixy_next_has_a_reason(rendered: Path) -> None:
    assert unexplained(gixy_next(rendered)) == []


@pytest.mark.parametrize("rendered", ["https"], indirect=True)
def test_both_gixys_read_all_files(rendered: Path) -> None:
    """They follow the includes: a hole in a snippet is found."""
    headers = rendered.parent / "snippets" / "request-headers.conf"
    headers.write_text(headers.read_text().replace("$host_as_sent", "$http_host"))
    for found in (gixy_next(rendered), gixy_ng(rendered)):
        assert "host_spoofing" in {finding["plugin"] for finding in found}


def test_every_finding_of_gixy_ng_has_a_reason(rendered: Path) -> None:
    assert unexplained(gixy_ng(rendered)) == []


def unexplained(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [finding for finding in found if finding["plugin"] not in REASONS_OF_GIXY]


def gixy_next(main: Path) -> list[dict[str, str]]:
    tool = subprocess.run(
        [str(ROOT / ".ci" / "tool.sh"), "gixy-next"],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHON": sys.executable},
    )  # fmt: skip
    return gixy(Path(tool.stdout.strip()) / "gixy-next", main)


def gixy_ng(main: Path) -> list[dict[str, str]]:
    return gixy(Path(sys.executable).with_name("gixy"), main)


def gixy(program: Path, main: Path) -> list[dict[str, str]]:
    done = subprocess.run([str(program), "-f", "json", str(main)], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found
