"""Exports judged by what reads them: systemd-analyze, nginx, the compose specification's schema."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from brokers.errors import SettingsError
from brokers.venue import Venue
from gateway.settings import Settings, load
from supervisor import plan, services
from supervisor.operations import exports
from supervisor.setup import envfile

SCHEMA = Path(__file__).with_name("data") / "compose-spec.json"
"""From compose-spec/compose-spec, commit 170098b (Apache-2.0)."""


def tool(name: str) -> str:
    """A program of the Debian packages in scripts/tools.txt; CI must have it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; ./scripts/test --install-tools")
        pytest.skip(f"{name} is not installed; ./scripts/test --install-tools gets it")
    return found


@pytest.fixture
def two(tmp_path: Path) -> list[Settings]:
    home = tmp_path / "my algo 100%"
    for name in ("kotak", "dhan"):
        path = envfile.create(home, name, None)
        path.write_text(path.read_text() + f"ALLOWED_HOSTS={name}.example.com\n")
    return [load(home, name, Venue.SIM) for name in ("kotak", "dhan")]


def test_systemd_accepts_every_unit(two: list[Settings], tmp_path: Path) -> None:
    program = tmp_path / "bin" / "algo"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = exports.systemd(two, program, "root")
    ours = {f"algo-{n}-{r}.service" for n in ("kotak", "dhan") for r in ("api", "feed")}
    assert set(units) == ours | {"algo-historify.service"}
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in units.items():
        (folder / name).write_text(text)
    argv = [tool("systemd-analyze"), "verify", "--man=no", *map(str, folder.iterdir())]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    # other units of this machine are looked at too; what matters is what it says of ours
    assert [line for line in done.stderr.splitlines() if "algo-" in line] == []
    assert done.returncode == 0, done.stderr


def test_a_unit_systemd_would_not_take_is_noticed(two: list[Settings], tmp_path: Path) -> None:
    text = exports.systemd(two, Path("/no/such/algo"), "root")["algo-dhan-api.service"]
    (tmp_path / "algo-dhan-api.service").write_text(text)
    argv = [tool("systemd-analyze"), "verify", "--man=no", str(tmp_path / "algo-dhan-api.service")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert "/no/such/algo" in done.stderr


def test_the_feed_waits_for_its_own_api_only(two: list[Settings]) -> None:
    units = exports.systemd(two, Path("/usr/bin/algo"), "trader")
    assert re.findall(r"algo-\S+\.service", units["algo-dhan-feed.service"]) == ["algo-dhan-api.service"] * 2
    assert "algo-" not in units["algo-dhan-api.service"].replace("`algo", "")
    assert "User=trader" in units["algo-dhan-api.service"]


def test_compose_fits_the_specification(two: list[Settings]) -> None:
    files = exports.compose(two, two[0].home)
    plain = json.loads(files["compose.yaml"].partition("\n")[2])
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(plain)
    assert set(plain["services"]) == {"kotak-api", "kotak-feed", "dhan-api", "dhan-feed", "historify"}
    published = [p for s in plain["services"].values() for p in s.get("ports", [])]
    assert len(published) == 6
    assert all(p.startswith("127.0.0.1:") for p in published), "something is open to the world"
    assert plain["services"]["dhan-feed"]["network_mode"] == "service:dhan-api"
    broken = plain | {"services": {"x": {"prots": []}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(broken)


def test_a_container_runs_the_process_the_supervisor_would(two: list[Settings]) -> None:
    """`algo run dhan api --bind …` is the planned command line with the address and names added."""
    specs = {s.key: s for s in plan.children(two, plan.UpOptions())}
    spec = plan.reachable_from_outside(specs["dhan.api"], "0.0.0.0", ("dhan", "dhan-api"))
    extra = ("--bind", "0.0.0.0", "--allow-host", "dhan", "--allow-host", "dhan-api")
    assert spec.argv == (*specs["dhan.api"].argv, *extra)
    assert {claim.host for claim in spec.ports} == {"0.0.0.0"}
    files = exports.compose(two, two[0].home)
    command = json.loads(files["compose.yaml"].partition("\n")[2])["services"]["dhan-api"]["command"]
    assert command == ["run", "dhan", "api", *extra]


def test_what_all_share_is_run_by_its_name(two: list[Settings]) -> None:
    text = exports.systemd(two, Path("/usr/bin/algo"), "root")["algo-historify.service"]
    assert "run historify\n" in text
    assert "Wants=network-online.target\n" in text, "it waits for no instance"


def test_what_all_share_reaches_each_container_by_its_name(two: list[Settings]) -> None:
    files = exports.compose(two, two[0].home)
    plain = json.loads(files["compose.yaml"].partition("\n")[2])
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(plain)
    one = plain["services"]["historify"]
    assert set(one["networks"]) == {"kotak", "dhan"}
    assert "ports" not in one
    assert one["command"] == ["run", "historify", "--by-name"]
    named = [replace(each, host=each.name) for each in two]
    [spec] = services.alone(named)
    assert spec.config is not None
    assert [c["api"] for c in json.loads(spec.config.text)["candidates"]] == ["http://dhan:5001"]


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dhan.example.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    signed = made.sign(key, hashes.SHA256())
    (folder / "c.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "k.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "c.pem", folder / "k.pem"


@pytest.mark.parametrize("narrow", [False, True])
def test_nginx_accepts_the_site(two: list[Settings], tmp_path: Path, narrow: bool) -> None:
    made, key = certificate(tmp_path)
    (tmp_path / "users").write_text("")
    sites = [
        exports.Site(one, f"{one.name}.example.com", str(made), str(key), str(tmp_path / "users"), narrow)
        for one in two
    ]
    text = exports.nginx(sites)["algo.conf"]
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log;\nevents {{}}\nhttp {{ access_log off;\n{text}\n}}\n"
    )
    argv = [tool("nginx"), "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert ("/socket.io/" in text) is not narrow


def test_a_domain_the_instance_refuses_is_said(two: list[Settings]) -> None:
    with pytest.raises(SettingsError, match=r"ALLOWED_HOSTS=other\.example\.com"):
        exports.nginx([exports.Site(two[0], "other.example.com", "c", "k")])
