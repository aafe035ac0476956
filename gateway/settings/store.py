"""Settings of the market-data store all instances of a home share. Light: the supervisor imports it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from brokers.errors import SettingsError
from gateway.settings.envfile import EnvFile

ROLES = ("auto", "puller", "reader")
DEFAULT_STORE = "db/historify.duckdb"
URL_NAMES = ("HISTORIFY_DATABASE_URL", "HISTORIFY_DATABASE_PATH")
"""OpenAlgo documents the first and reads the second; either is taken."""
SERVERS = ("postgresql://", "postgres://")
INSTANCE = re.compile(r"[a-z][a-z0-9_]{0,30}")

EXAMPLE = """\
# The market-data store, shared by all instances; the values shown are the defaults.
# HISTORIFY_DATABASE_URL=db/historify.duckdb   # or postgresql://…
# HISTORIFY_PULLER=                # which instance's broker fills it, standbys after it: dhan,kotak
# HISTORIFY_ROLE=auto              # reader: never pulls; puller: the same as naming it above
# HISTORIFY_PUBLISH_SECONDS=15     # how often db/historify.duckdb shows what is new
# HISTORIFY_PORT=5051              # health of the process that pulls
# CONSOLE_PORT=5050                # the page of all instances
"""


@dataclass(frozen=True, slots=True)
class StoreRules:
    """What one env file says of the store.

    Attributes:
        url: Absolute path of the face (``…/historify.duckdb``), or a ``postgresql://`` URL, which may hold a
            password.
        pullers: Instances that may pull, the designated one first; empty: the first capable one.
        role: ``auto``, ``puller`` or ``reader``.
        publish_s: Seconds between two publications of the face.
    """

    url: str = field(default="", repr=False)
    pullers: tuple[str, ...] = ()
    role: str = "auto"
    publish_s: int = 15
    port: int = 5051
    console_port: int = 5050


def read(env: EnvFile, home: Path, *, sim: bool) -> StoreRules:
    """Raises ``SettingsError``. With ``sim`` the store lies under ``db/sim/`` whatever the env names."""
    pullers = tuple(
        dict.fromkeys(w.strip() for w in env.text("HISTORIFY_PULLER", "").split(",") if w.strip())
    )
    for name in pullers:
        if not INSTANCE.fullmatch(name):
            raise SettingsError(
                f"{env.where('HISTORIFY_PULLER')}: HISTORIFY_PULLER names '{name}', "
                "expected instances such as dhan,kotak"
            )
    role = env.choice("HISTORIFY_ROLE", "auto", ROLES)
    return StoreRules(
        url=str(home / "db" / "sim" / "historify.duckdb") if sim else _url(env, home),
        pullers=pullers,
        role=role,
        publish_s=int(env.number("HISTORIFY_PUBLISH_SECONDS", 15, 1, 3600)),
        port=env.port("HISTORIFY_PORT", 5051),
        console_port=env.port("CONSOLE_PORT", 5050),
    )


def face(env: EnvFile, home: Path, *, sim: bool) -> Path:
    """Absolute path of the DuckDB file people open. With bars on a server, jobs are kept beside it.

    Raises ``SettingsError``.
    """
    if sim:
        return home / "db" / "sim" / "historify.duckdb"
    url = _url(env, home)
    return (home / DEFAULT_STORE).resolve() if url.startswith(SERVERS) else Path(url)


def _url(env: EnvFile, home: Path) -> str:
    found = {name: text for name in URL_NAMES if (text := _unquoted(env.text(name, "")))}
    first, second = URL_NAMES
    if len(set(found.values())) > 1:
        raise SettingsError(
            f"{env.where(second)}: {second} and {first} ({env.where(first)}) differ; keep one of them"
        )
    name, text = next(iter(found.items()), (first, DEFAULT_STORE))
    if text.startswith(SERVERS):
        return text
    if "://" in text:
        raise SettingsError(
            f"{env.where(name)}: {name} is {text.split(':')[0]}://…, expected a path or postgresql://"
        )
    return str((home / text).resolve())


def _unquoted(text: str) -> str:
    """As people paste it: in quotes, with ``duckdb:///`` before a path."""
    return text.strip("'\" ").removeprefix("duckdb:///")
