"""The reference page, the help and the record of `app.toml` cannot come apart."""

from __future__ import annotations

import tomllib
from pathlib import Path

from click.testing import CliRunner

from hedgerow.cli import main
from hedgerow.cli.reference import text
from hedgerow.hosting.manifest import Manifest, read_manifest
from hedgerow.hosting.manifest_keys import keys, values

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_what_the_records_say() -> None:
    assert (ROOT / "docs" / "reference.md").read_text() == text(), "run: python -m hedgerow.cli.reference"


def test_help_and_page_have_every_key_and_help_its_whole_text() -> None:
    shown = CliRunner().invoke(main, ["app", "--help"]).output
    told = "".join(shown.split())  # a line may end within Server-Timing
    found = list(keys())
    assert {"entry", "data", "deploy.before", "deploy.timeout_s"} <= {key.name for key in found}
    for key in found:
        assert "".join(f"{key.name} {key.kind}: {key.help}".split()) in told
        assert f"| `{key.name}` |" in text()


def test_what_an_app_says_is_shown_as_toml_beside_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "app.toml").write_text('mount = "/b"\ndata = ["a b"]\n[deploy]\ntimeout_s = 3\n')
    result = CliRunner().invoke(main, ["app", str(tmp_path / "blog")])
    rows = [row.split() for row in result.output.splitlines()[1:] if row]
    assert ["mount", '"/b"', "app.toml"] in rows
    assert ["deploy.timeout_s", "3.0", "app.toml"] in rows
    assert ["server_timing", "false"] in rows
    told = dict(values(read_manifest(tmp_path / "blog")))
    assert tomllib.loads(f"x = {told['data']}") == {"x": ["a b"]}


def test_a_folder_without_a_manifest_has_the_defaults_and_a_wrong_one_names_the_nearest_key(tmp_path: Path) -> None:
    plain = CliRunner().invoke(main, ["app", str(tmp_path)])
    assert "these are the defaults" in plain.output
    assert "app.toml\n" not in plain.output
    (tmp_path / "app.toml").write_text("moutn = 3\n")
    wrong = CliRunner().invoke(main, ["app", str(tmp_path)])
    assert (wrong.exit_code, "did you mean 'mount'?" in wrong.output) == (2, True)
    missing = CliRunner().invoke(main, ["app", str(tmp_path / "nothing")])
    assert (missing.exit_code, "no such folder" in missing.output) == (2, True)


def test_values_of_a_record_are_in_the_order_of_the_keys() -> None:
    assert [name for name, _ in values(Manifest())] == [key.name for key in keys()]
    assert [value for _, value in values(Manifest())] == [key.default for key in keys()]
