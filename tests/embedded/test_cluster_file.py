import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).resolve().parents[2] / "cluster.yaml"


@pytest.fixture(scope="module")
def config() -> dict:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(yaml.safe_load(FILE.read_text()))
    validate_config(prepared)
    return prepared


def test_ray_accepts_it_as_one_head_without_workers(config: dict):
    assert config["cluster_name"] == "flipsync"
    assert config["max_workers"] == 0 and config["provider"]["worker_ips"] == []


def test_a_wrong_key_would_be_refused():
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    spoiled = {**yaml.safe_load(FILE.read_text()), "head_ipp": "127.0.0.1"}
    with pytest.raises(ValidationError):
        validate_config(prepare_config(spoiled))


def test_every_command_is_sound_shell(config: dict):
    commands = [
        *config["setup_commands"],
        *config["head_setup_commands"],
        *config["head_start_ray_commands"],
        *config["worker_start_ray_commands"],
    ]
    assert commands
    for command in commands:
        checked = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True)
        assert checked.returncode == 0, (command, checked.stderr)


def test_token_auth_stays_on_and_the_dashboard_on_loopback(config: dict):
    start = config["head_start_ray_commands"][-1]
    assert "RAY_AUTH_MODE=token" in start
    assert "--dashboard-host=127.0.0.1" in start
    assert "--disable-usage-stats" in start


def test_the_head_finds_its_own_address(config: dict, tmp_path: Path):
    """The line that reads head_ip on the head, run with a `ray` that prints what it is given."""
    binaries = tmp_path / "flipsync-venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "ray").write_text('#!/bin/sh\necho "$RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" "$RAY_AUTH_MODE" "$@"\n')
    (binaries / "ray").chmod(0o755)
    (binaries / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (binaries / "python").chmod(0o755)
    for address, expected in (("127.0.0.1", "0 token"), ("10.1.2.3", " token")):
        bootstrap = {**config, "provider": {**config["provider"], "head_ip": address}}
        (tmp_path / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(bootstrap))
        said = subprocess.run(
            ["bash", "-c", config["head_start_ray_commands"][-1]],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert said.startswith(f"{expected} start --head --node-ip-address={address} --port=6379 "), said
