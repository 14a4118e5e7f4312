"""supervisord's configuration, read back by supervisord's own parser."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from hedgerow.config import Settings
from hedgerow.control import supervisor
from hedgerow.errors import UserError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    run = tmp_path / "run"
    run.mkdir()
    made = Settings(state=tmp_path / "state", run=run, replica="r1", workers=2, first_address=18001)
    supervisor.log_folder(made).mkdir(parents=True)
    return made


def parsed(settings: Settings, **more: Any) -> ServerOptions:
    path = settings.run / "supervisord.conf"
    path.write_text(supervisor.render(settings, **more))
    options = ServerOptions()
    options.realize(["-c", str(path)])
    return options


def groups(options: ServerOptions) -> dict[str, Any]:
    return {group.name: group for group in options.process_group_configs}


def test_each_address_has_two_slots_and_a_keeper_and_nothing_starts_by_itself(settings: Settings) -> None:
    found = groups(parsed(settings))
    assert set(found) == {"18001", "18002", "deployer"}
    processes = {process.name: process for process in found["18002"].process_configs}
    assert set(processes) == {"a", "b", "c"}
    for name, process in processes.items():
        assert process.command == f"{sys.executable} -P -m hedgerow.control.process 18002 {name}"
        assert not process.autostart
        assert process.exitcodes == [0]
        assert process.stopwaitsecs > settings.drain_s
        assert (process.stopasgroup, process.killasgroup) == (False, True)
        assert process.stdout_logfile == str(settings.state / "logs" / "r1" / f"18002-{name}.log")
    assert found["18002"].socket_config.url == "tcp://127.0.0.1:18002"


def test_the_stop_order_is_front_addresses_copy_of_the_log_deployer(settings: Settings) -> None:
    options = parsed(settings, nginx=["/usr/sbin/nginx", "-g", "daemon off;"], copy_stdout=True)
    assert [group.name for group in sorted(options.process_group_configs, reverse=True)] == [
        "nginx",
        "18002",
        "18001",
        "stdout",
        "deployer",
    ]
    nginx = groups(options)["nginx"].process_configs[0]
    assert nginx.command.endswith("control.process nginx -- /usr/sbin/nginx -g 'daemon off;'")


def test_it_is_reached_by_a_private_unix_socket_only(settings: Settings) -> None:
    options = parsed(settings)
    assert [(server["family"].name, server["chmod"]) for server in options.configroot.supervisord.server_configs] == [
        ("AF_UNIX", 0o700)
    ]
    assert options.silent
    assert options.nodaemon


def test_a_percent_sign_in_a_command_is_no_expansion(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/50%d/bin/python")
    settings = dataclasses.replace(settings, replica="r%s1")
    supervisor.log_folder(settings).mkdir(parents=True)
    with pytest.raises(UserError, match="simpler"):
        parsed(settings)
    settings = dataclasses.replace(settings, replica="r1")
    found = groups(parsed(settings, nginx=["/opt/%s/nginx"], copy_stdout=True))
    for group in found.values():
        for process in group.process_configs:
            assert process.command.startswith("/opt/50%d/bin/python -P -m hedgerow.control.process")
    assert found["nginx"].process_configs[0].command.endswith("nginx -- /opt/%s/nginx")


def test_a_request_that_runs_has_the_time_of_a_drain(settings: Settings) -> None:
    settings = dataclasses.replace(settings, drain_s=9.5)
    found = groups(parsed(settings, nginx=["/usr/sbin/nginx"]))
    waits = [found[name].process_configs[0].stopwaitsecs for name in ("nginx", "18001", "deployer")]
    assert min(waits[:2]) > settings.drain_s
    assert supervisor.stop_s(settings) >= sum(waits)


@pytest.mark.parametrize("name", ["50% of it", "it's", 'a"b', "a #b", "a ;b", "a\nb"])
def test_a_path_that_the_file_cannot_hold_is_one_sentence(settings: Settings, name: str) -> None:
    with pytest.raises(UserError, match="simpler"):
        supervisor.render(dataclasses.replace(settings, state=settings.state / name))


def test_a_path_with_blanks_is_held(settings: Settings) -> None:
    settings = dataclasses.replace(settings, state=settings.state / "my apps")
    supervisor.log_folder(settings).mkdir(parents=True)
    process = groups(parsed(settings))["18001"].process_configs[0]
    assert process.stdout_logfile == str(settings.state / "logs" / "r1" / "18001-a.log")


def test_a_run_folder_too_long_for_a_socket_is_one_sentence(settings: Settings) -> None:
    supervisor.check_paths(settings)
    with pytest.raises(UserError, match="HEDGEROW_RUN"):
        supervisor.check_paths(dataclasses.replace(settings, run=Path("/" + "x" * 90)))
