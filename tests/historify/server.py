"""A real PostgreSQL for the tests: its own data folder, a unix socket in it, no port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.environment import in_ci

DEBIAN = Path("/usr/lib/postgresql")
ACCOUNTS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root; these are tried then."""
PASSWORD = "s3cr3t+of/tests"
START_S = 30.0
QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "autovacuum=off", "max_wal_size=1GB")
"""Nothing of a test's data has to survive the machine."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running PostgreSQL; ``pid`` is the postmaster's."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        user = password.replace("+", "%2B").replace("/", "%2F")
        return f"postgresql://algo:{user}@/{database}?host={self.folder}"

    def database(self, name: str, extension: str | None = None) -> str:
        """A new database; its name."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        if extension:
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                connection.execute(f"CREATE EXTENSION {extension}")
        return name

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)
        shutil.rmtree(self.folder)


def programs() -> Path:
    """Folder of ``initdb`` and ``postgres``; without one the test is skipped, in CI it fails."""
    if found := _installed():
        return found
    reason = "no PostgreSQL is installed; scripts/test --install-tools installs it"
    if in_ci():
        pytest.fail(reason)
    pytest.skip(reason)


def has_timescale() -> bool:
    """Whether the installed PostgreSQL comes with TimescaleDB; Debian's does not."""
    found = _installed()
    if found is None or not (found / "pg_config").exists():
        return False
    asked = subprocess.run([found / "pg_config", "--sharedir"], capture_output=True, text=True, check=True)
    return (Path(asked.stdout.strip()) / "extension" / "timescaledb.control").exists()


def _installed() -> Path | None:
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    versions = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def start() -> Server:
    """A new cluster, answering; its superuser ``algo`` has a password like a real one."""
    bin_folder = programs()
    folder = Path(tempfile.mkdtemp(prefix="algo-pg-"))
    account = _account(folder)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    initdb = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-U", "algo", "--pwfile", str(secret)]
    quietly = ["-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
    subprocess.run([*initdb, *quietly], check=True, capture_output=True, timeout=START_S, **account)
    chosen = [*QUICK, "listen_addresses=", f"unix_socket_directories={folder}"]
    if has_timescale():
        chosen.append("shared_preload_libraries=timescaledb")
    options = [part for setting in chosen for part in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [bin_folder / "postgres", "-D", folder / "data", *options], stdout=log, stderr=log, **account
        )
    server = Server(folder, process)
    deadline = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(server.url()).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = (folder / "log").read_text()[-2000:]
                server.stop()
                pytest.fail(f"PostgreSQL did not start: {said}")
            time.sleep(0.02)
        else:
            return server


def _account(folder: Path) -> dict[str, Any]:
    """Arguments for ``subprocess`` that make a child nobody special, and the folder its own."""
    if os.geteuid() != 0:
        return {}
    name = next(name for name in ACCOUNTS if _known(name))
    entry = pwd.getpwnam(name)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": folder}


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
