"""HTTPS at the front: which certificate a client gets, how it is renewed, and the development authority."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_backends import backends, executes
from front_support import children, wait_for
from https_support import (
    FILES,
    ROOT,
    SecureFront,
    certificate,
    expire,
    kept,
    open_folder,
    openssl,
    secured,
    seen,
    tls,
    with_http3,
    without_http3,
)

from hedgerow.config import Settings
from hedgerow.control import front
from hedgerow.control.front import NginxBinary
from hedgerow.errors import UserError

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(params=[without_http3, with_http3], ids=["packaged", "debian"])
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    found: NginxBinary = request.param()
    return found


def rendered(tmp_path: Path, certificates: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """render.sh by itself, switched on."""
    environ = {"PATH": os.environ["PATH"], "HEDGEROW_NGINX": str(without_http3().path), "HEDGEROW_HTTPS": "on"}
    environ |= {"HEDGEROW_FRONT_RUN": str(tmp_path / "run"), "HEDGEROW_CERTIFICATES": str(certificates), **inputs}
    return subprocess.run(["sh", str(FILES / "render.sh")], env=environ, capture_output=True, text=True, check=False)


# --- which certificate ------------------------------------------------------------------------------------------------


def test_a_client_gets_the_certificate_of_the_name_that_it_asks_for(
    tmp_path: Path, folder: Path, binary: NginxBinary
) -> None:
    one = certificate(folder / "one.pem", "one.example", "www.one.example")
    two = certificate(folder / "two.pem", "Two.Example", "*.two.example")
    default = certificate(folder / "default.pem", "default.example")
    with backends(executes) as addresses, secured(tmp_path, binary, addresses, folder) as site:
        for name in ("one.example", "www.one.example", "WWW.One.Example"):
            assert site.presented(name) == one, name
        for name in ("two.example", "any.two.example"):
            assert site.presented(name) == two, name
        for unknown in ("unknown.example", "x.one.example", "default.pem", None):
            assert site.presented(unknown) == default, unknown


def test_without_a_default_the_first_certificate_is_for_unknown_names(
    tmp_path: Path, folder: Path, binary: NginxBinary
) -> None:
    first = certificate(folder / "a.pem", "zebra.example")
    certificate(folder / "b.pem", "ant.example")
    with backends(executes) as addresses, secured(tmp_path, binary, addresses, folder) as site:
        assert site.presented("unknown.example") == first


def test_certbots_folder_is_read_as_it_is(tmp_path: Path, folder: Path, binary: NginxBinary) -> None:
    made = {}
    for name in ("one.example", "two.example"):
        archive, live = folder / "archive" / name, folder / "live" / name
        made[name] = certificate(archive / "fullchain1.pem", name, key=archive / "privkey1.pem")
        live.mkdir(parents=True)
        for kind in ("fullchain", "privkey"):
            (live / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}1.pem")
    for certificates in (folder, folder / "live"):
        with backends(executes) as addresses, secured(tmp_path, binary, addresses, certificates) as site:
            assert {name: site.presented(name) for name in made} == made


# --- renewal ----------------------------------------------------------------------------------------------------------


class Load(threading.Thread):
    """A new connection for each request, until it is told to stop. `faults`: what was no 200."""

    def __init__(self, site: SecureFront) -> None:
        super().__init__()
        self.site = site
        self.answered = 0
        self.faults: list[object] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                status = self.site.request().status
            except OSError as error:
                self.faults.append(error)
            else:
                self.answered += 1
                if status != 200:
                    self.faults.append(status)

    def finish(self) -> None:
        self._ended.set()
        self.join(30)


def test_a_renewed_certificate_is_taken_up_without_a_reload_and_under_load(
    tmp_path: Path, folder: Path, binary: NginxBinary
) -> None:
    """The folder is a link that is replaced, so certificate and key change in one step."""
    certificates = folder / "current"
    versions = [certificate(folder / str(number) / "site.pem", "localhost") for number in range(3)]
    certificates.symlink_to("0")
    with backends(executes) as addresses, secured(tmp_path, binary, addresses, certificates) as site:
        processes = children(site.plain.process)
        load = Load(site)
        load.start()
        try:
            with site.connect() as connection:
                client = kept(connection, site.port)
                assert site.presented("localhost") == versions[0]
                for number in (1, 2):  # each of nginx's processes looks by itself: one may be a second behind
                    (folder / "next").symlink_to(str(number))
                    (folder / "next").replace(certificates)
                    before = load.answered
                    wait_for(lambda number=number: site.presented("localhost") == versions[number], "the new one")  # type: ignore[misc]
                    wait_for(lambda before=before: load.answered > before + 20, "more requests")  # type: ignore[misc]
                    client.request("GET", "/")
                    assert client.getresponse().read() == b"fine"
        finally:
            load.finish()
        assert load.faults == []
        assert children(site.plain.process) == processes


def test_the_guides_script_brings_certificates_that_certbot_renews(
    tmp_path: Path, folder: Path, binary: NginxBinary
) -> None:
    """docs/https.md, as certbot runs it; the first run makes the certificate that the front starts with."""
    [script] = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "https.md").read_text(), re.DOTALL)
    certificates, lineage = folder / "certificates", tmp_path / "live" / "shop.example"
    certificates.mkdir()
    owner, group = ("nobody", "root") if os.getuid() == 0 else (str(os.getuid()), str(os.getgid()))
    script = script.replace("/srv/hedgerow/certificates", str(certificates))
    script = script.replace("-o 101 -g 101", f"-o {owner} -g {group}")

    def renew() -> bytes:
        made = certificate(lineage / "fullchain.pem", "shop.example", key=lineage / "privkey.pem")
        environ = {"PATH": os.environ["PATH"], "RENEWED_LINEAGE": str(lineage)}
        subprocess.run(["sh", "-c", script], env=environ, check=True)
        return made

    first = renew()
    with backends(executes) as addresses, secured(tmp_path, binary, addresses, certificates) as site:
        assert site.presented("shop.example") == first
        second = renew()
        wait_for(lambda: site.presented("shop.example") == second, "the renewed certificate")


# --- mistakes ---------------------------------------------------------------------------------------------------------


def break_pair(folder: Path) -> None:
    shutil.copy(folder / "two.key", folder / "one.key")


def lose_key(folder: Path) -> None:
    (folder / "one.key").unlink()


def lock_key(folder: Path) -> None:
    openssl("ec", "-in", f"{folder}/two.key", "-aes256", "-passout", "pass:secret", "-out", f"{folder}/one.key")
    (folder / "one.key").chmod(0o644)


def garble(folder: Path) -> None:
    (folder / "one.pem").write_text("no certificate")


def close_key(folder: Path) -> None:
    (folder / "one.key").chmod(0o000 if os.getuid() else 0o600)


def dangle(folder: Path) -> None:
    (folder / "one.pem").unlink()
    (folder / "one.pem").symlink_to("nowhere")


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (break_pair, "{}/one.pem: does not belong to the key one.key beside it"),
        (lose_key, "{}/one.key: is not there; a certificate is NAME.pem with NAME.key"),
        (lock_key, "{}/one.key: is no key, or has a password"),
        (garble, "{}/one.pem: is no certificate"),
        (close_key, "{}/one.key: cannot be read by "),
        (dangle, "{}/one.pem: is not there"),
        (empty, "HEDGEROW_CERTIFICATES={}: has no certificate"),
        (shutil.rmtree, "HEDGEROW_CERTIFICATES={}: is no folder"),
    ],
)  # fmt: skip
def test_a_certificate_that_will_not_do_is_one_sentence_at_the_start(
    tmp_path: Path, folder: Path, spoil: object, told: str
) -> None:
    certificates = folder / "certificates"
    for name in ("one", "two"):
        certificate(certificates / f"{name}.pem", f"{name}.example")
    spoil(certificates)  # type: ignore[operator]
    done = rendered(tmp_path, certificates)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told.format(certificates)), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "inputs",
    [
        {"HEDGEROW_HTTPS": "yes"},
        {"HEDGEROW_HTTPS_PORT": "0"},
        {"HEDGEROW_HTTPS_PORT": "8080"},
        {"HEDGEROW_HTTPS_PUBLIC_PORT": "70000"},
        {"HEDGEROW_HSTS": "1y"},
        {"HEDGEROW_HSTS": "60", "HEDGEROW_HTTPS": "off"},
        {"HEDGEROW_HSTS": "60", "HEDGEROW_HTTPS": "development"},
        {"HEDGEROW_CERTIFICATES": "relative"},
        {"HEDGEROW_ACME": "/srv/a;b"},
        {"HEDGEROW_HTTPS_NAMES": "bank.com", "HEDGEROW_HTTPS": "development"},
        {"HEDGEROW_HTTPS_NAMES": "8.8.8.8", "HEDGEROW_HTTPS": "development"},
        {"HEDGEROW_HTTPS_NAMES": "a_b/c", "HEDGEROW_HTTPS": "development"},
    ],
    ids=lambda inputs: " ".join(f"{name}={value}" for name, value in inputs.items()),
)
def test_a_mistaken_value_is_one_sentence(tmp_path: Path, folder: Path, inputs: dict[str, str]) -> None:
    certificate(folder / "one.pem", "one.example")
    done = rendered(tmp_path, folder, **inputs)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(next(iter(inputs)))
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


SHELLS = [shell for shell in (["dash"], ["busybox", "sh"], ["bash", "--posix"]) if shutil.which(shell[0])]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_shell_renders_what_nginx_accepts(tmp_path: Path, folder: Path, shell: list[str]) -> None:
    made = folder / "a folder"
    certificate(made / "one.pem", "one.example", "*.one.example")
    for https in ("on", "development"):
        nginx = str(with_http3().path)
        run = tmp_path / https
        environ = {"PATH": os.environ["PATH"], "HEDGEROW_NGINX": nginx, "HEDGEROW_HTTPS": https}
        environ |= {"HEDGEROW_FRONT_RUN": str(run), "HEDGEROW_CERTIFICATES": str(made), "HEDGEROW_ACME": str(made)}
        done = subprocess.run(
            [*shell, str(FILES / "render.sh")], env=environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        command = [nginx, "-t", "-p", f"{run}/", "-c", "nginx.conf", "-e", "stderr"]
        check = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (check.returncode, "[warn]" in check.stderr) == (0, False), check.stderr


def test_an_expired_certificate_is_told_and_no_reason_to_stay_down(tmp_path: Path, folder: Path) -> None:
    certificate(folder / "one.pem", "one.example")
    expire(folder / "one.pem")
    done = rendered(tmp_path, folder)
    assert done.returncode == 0
    assert f"{folder}/one.pem: has expired" in done.stderr


def test_of_two_certificates_for_a_name_the_first_is_taken_and_it_is_told(tmp_path: Path, folder: Path) -> None:
    for stem in ("a", "b"):
        certificate(folder / f"{stem}.pem", "same.example")
    done = rendered(tmp_path, folder)
    assert done.returncode == 0
    assert f"same.example: two certificates are for it; {folder}/a.pem is used" in done.stderr


def test_what_this_nginx_cannot_do_is_told_and_left_out(tmp_path: Path, folder: Path) -> None:
    certificate(folder / "one.pem", "one.example")
    settings = Settings(https="on", certificates=folder)
    for binary, left_out in ((without_http3(), True), (with_http3(), False)):
        target = tmp_path / binary.origin
        front.render(settings, binary, target)
        assert any("HTTP/3 is left out" in note for note in front.notes(target)) is left_out
        assert ("quic" in (target / "listen.conf").read_text()) is not left_out
        assert ("h3=" in (target / "https.conf").read_text()) is not left_out


def test_the_starters_mistakes_reach_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^HEDGEROW_CERTIFICATES: name the folder"):
        front.render(Settings(https="on"), without_http3(), tmp_path / "front")


# --- the development authority ----------------------------------------------------------------------------------------


def trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


def test_the_development_authority_is_made_once_and_can_be_trusted(
    tmp_path: Path, folder: Path, binary: NginxBinary
) -> None:
    certificates = folder / "development"
    authority = certificates / "authority" / "authority.pem"
    options = {"https": "development", "https_names": "shop.test, 192.168.7.7"}
    made = set()
    for _ in range(2):
        with backends(executes) as addresses, secured(tmp_path, binary, addresses, certificates, **options) as site:
            made.add((authority.read_bytes(), seen(certificates / "development.pem")))
            for name in ("localhost", "127.0.0.1", "shop.test", "192.168.7.7"):
                with tls(site.port, name, trusting(authority)) as connection:
                    assert connection.version() == "TLSv1.3"
            with pytest.raises(ssl.SSLCertVerificationError):
                tls(site.port, "other.test", trusting(authority))
    assert len(made) == 1


def test_a_new_name_gets_a_new_certificate_of_the_same_authority(tmp_path: Path, folder: Path) -> None:
    inputs = {"HEDGEROW_HTTPS": "development"}
    assert rendered(tmp_path, folder, **inputs).returncode == 0
    authority, old = (folder / "authority" / "authority.pem").read_bytes(), seen(folder / "development.pem")
    assert rendered(tmp_path, folder, **inputs, HEDGEROW_HTTPS_NAMES="shop.test").returncode == 0
    assert (folder / "authority" / "authority.pem").read_bytes() == authority
    assert seen(folder / "development.pem") != old
    told = openssl("x509", "-in", str(folder / "development.pem"), "-noout", "-ext", "subjectAltName")
    assert "DNS:shop.test" in told


def test_only_its_owner_can_read_what_the_development_authority_has(tmp_path: Path, folder: Path) -> None:
    assert rendered(tmp_path, folder / "new", HEDGEROW_HTTPS="development").returncode == 0
    for secret in ("authority/authority.key", "development.key"):
        assert (folder / "new" / secret).stat().st_mode & 0o077 == 0, secret
    assert (folder / "new" / "authority").stat().st_mode & 0o077 == 0


def test_the_development_authority_can_speak_for_no_public_name(tmp_path: Path, folder: Path) -> None:
    """Also not if its key is stolen: its certificate says for what it may speak."""
    assert rendered(tmp_path, folder, HEDGEROW_HTTPS="development").returncode == 0
    authority = folder / "authority"
    for name, good in (("shop.test", True), ("bank.com", False)):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/request")  # fmt: skip
        (tmp_path / "extensions").write_text(f"subjectAltName=DNS:{name}\n")
        openssl("x509", "-req", "-in", f"{tmp_path}/request", "-CA", f"{authority}/authority.pem", "-CAkey",
                f"{authority}/authority.key", "-set_serial", "7", "-extfile", f"{tmp_path}/extensions",
                "-out", f"{tmp_path}/forged")  # fmt: skip
        command = ["openssl", "verify", "-CAfile", f"{authority}/authority.pem", f"{tmp_path}/forged"]
        assert (subprocess.run(command, check=False, capture_output=True).returncode == 0) is good, name


def test_the_name_of_the_machine_may_be_long(tmp_path: Path, folder: Path) -> None:
    """A common name has room for 64 characters (RFC 5280, ub-common-name)."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "hostname").write_text(f"#!/bin/sh\necho 'x/{'long-' * 20}'\n")
    (programs / "hostname").chmod(0o755)
    done = rendered(tmp_path, folder / "new", HEDGEROW_HTTPS="development", PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "xlong-long-" in openssl("x509", "-in", f"{folder}/new/authority/authority.pem", "-noout", "-subject")


def test_a_name_with_an_asterisk_is_no_file(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.test").touch()
    monkeypatch.chdir(tmp_path)
    assert rendered(tmp_path, folder, HEDGEROW_HTTPS="development", HEDGEROW_HTTPS_NAMES="*.test").returncode == 0
    told = openssl("x509", "-in", str(folder / "development.pem"), "-noout", "-ext", "subjectAltName")
    assert "DNS:*.test" in told


def test_a_key_of_another_certificate_is_made_anew(tmp_path: Path, folder: Path) -> None:
    """As a start leaves them that was killed between the two."""
    assert rendered(tmp_path, folder, HEDGEROW_HTTPS="development").returncode == 0
    key = folder / "development.key"
    key.write_text(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    done = rendered(tmp_path, folder, HEDGEROW_HTTPS="development")
    assert done.returncode == 0, done.stderr
