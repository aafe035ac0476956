"""Reads what an OpenAlgo installation holds.

Nothing of it is ever opened for writing: its database is copied first, side files included, and that is read.

Source: openalgo-api, sections 6 and 7, and OpenAlgo's own tables: its API key lies encrypted with Fernet,
under a key made by PBKDF2-HMAC-SHA-256 (100,000 rounds) from API_KEY_PEPPER and FERNET_SALT.
"""

from __future__ import annotations

import base64
import io
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from dotenv import dotenv_values

from brokers.errors import SettingsError
from brokers.secret import Secret
from gateway.settings import NAME

ROUNDS = 100_000
FIRST_SALT = b"openalgo_static_salt"
"""Of installations from before FERNET_SALT."""
TRIES = 3
SAMPLES = ("sample", "example", "bak", "backup", "old", "save", "swp")


@dataclass(frozen=True, slots=True)
class Installation:
    """One env file of OpenAlgo. ``name``: the instance it would become."""

    name: str
    env_path: Path
    text: str = field(repr=False)

    @property
    def values(self) -> Mapping[str, str]:
        found = dotenv_values(stream=io.StringIO(self.text), interpolate=False)
        return {name: value for name, value in found.items() if value is not None}

    @property
    def database(self) -> Path | None:
        """Its SQLite file; None when it uses another kind of database."""
        url = self.values.get("DATABASE_URL") or "sqlite:///db/openalgo.db"
        return self.env_path.parent / url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None


@dataclass(slots=True)
class Holdings:
    """What its database held, in our words. ``notes``: what could not be read, and what to do."""

    keys: list[Secret] = field(default_factory=list)
    strategies: list[dict[str, Any]] = field(default_factory=list)
    semi_auto: bool = False
    notes: list[str] = field(default_factory=list)


def find(source: Path) -> list[Installation]:
    """The installations a file or folder holds: ``.env``, ``.env.kotak``, ``.env.dhan`` and the like.

    Raises:
        SettingsError: There is none.
    """
    if source.is_dir():
        paths = [p for p in sorted(source.glob(".env*")) if p.is_file() and not p.name.endswith(SAMPLES)]
        suffixed = [p for p in paths if p.name != ".env"]
        paths = suffixed or paths  # beside .env.kotak and .env.dhan, .env is the copy in use
    else:
        paths = [source] if source.is_file() else []
    if not paths:
        raise SettingsError(f"no .env in {source}; name OpenAlgo's folder, or the file itself")
    return [_installation(path) for path in paths]


def _installation(path: Path) -> Installation:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path} cannot be read: {exc}") from exc
    found = Installation("", path, text)
    name = path.name.removeprefix(".env").strip(".") or _broker(found.values.get("REDIRECT_URL", ""))
    name = name.removesuffix(".env").lower()
    return Installation(name if NAME.match(name) else "", path, text)


def _broker(redirect_url: str) -> str:
    """``http://127.0.0.1:5000/dhan/callback`` -> ``dhan``."""
    parts = redirect_url.rstrip("/").split("/")
    return parts[-2] if len(parts) >= 2 and parts[-1] == "callback" else ""


def holdings(one: Installation) -> Holdings:
    """API keys, webhook ids and strategies of its database; only notes when there is none to read."""
    path = one.database
    if path is None:
        return Holdings(notes=["its database is not SQLite; keys and strategies have to be made anew"])
    if not path.is_file():
        return Holdings(notes=[f"{path} does not exist; there are no keys and strategies to take over"])
    for left in reversed(range(TRIES)):
        with tempfile.TemporaryDirectory(prefix="algo-import-") as folder:
            copy = Path(folder) / "copy.db"
            for ending in ("", "-wal"):  # what was committed last may still be in the second one
                side = path.with_name(path.name + ending)
                if side.is_file():
                    shutil.copyfile(side, copy.with_name(copy.name + ending))
            try:
                with closing(sqlite3.connect(copy)) as connection:
                    connection.row_factory = sqlite3.Row
                    return _read(connection, one.values)
            except sqlite3.DatabaseError as exc:
                if not left:  # else copied in the middle of a write
                    return Holdings(notes=[f"{path} cannot be read ({exc}); stop OpenAlgo and try again"])
    raise AssertionError


def _read(connection: sqlite3.Connection, env: Mapping[str, str]) -> Holdings:
    found = Holdings()
    ciphers = _ciphers(env)
    for row in _rows(connection, "api_keys"):
        found.semi_auto = found.semi_auto or row.get("order_mode") == "semi_auto"
        key = _decrypted(str(row.get("api_key_encrypted") or ""), ciphers)
        if key is None:
            found.notes.append(
                "its API key cannot be decrypted with this file's API_KEY_PEPPER and FERNET_SALT; "
                "strategies need a new one: algo key create NAME"
            )
        else:
            found.keys.append(key)
    mappings = list(_rows(connection, "strategy_symbol_mappings"))
    for row in _rows(connection, "strategies"):
        mode = str(row.get("trading_mode") or row.get("mode") or "LONG").upper()
        found.strategies.append(_strategy(row, str(row.get("platform") or "other"), mode, mappings, "symbol"))
    mappings = list(_rows(connection, "chartink_symbol_mappings"))
    for row in _rows(connection, "chartink_strategies"):
        found.strategies.append(_strategy(row, "chartink", "BOTH", mappings, "chartink_symbol"))
    return found


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """Nothing when this version of OpenAlgo has no such table."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    if known.fetchone() is not None:
        for row in connection.execute(f"SELECT * FROM {table} ORDER BY id"):
            yield dict(row)


def _strategy(
    row: Mapping[str, Any], platform: str, mode: str, mappings: list[dict[str, Any]], symbol: str
) -> dict[str, Any]:
    return {
        "name": str(row["name"]),
        "webhook_id": str(row["webhook_id"]),
        "platform": platform,
        "mode": mode,
        "active": bool(row.get("is_active", True)),
        "intraday": bool(row.get("is_intraday")),
        "start": row.get("start_time") or "",
        "end": row.get("end_time") or "",
        "square_off": row.get("squareoff_time") or "",
        "symbols": [
            {
                "exchange": str(one["exchange"]),
                "symbol": str(one[symbol]),
                "quantity": int(one["quantity"]),
                "product": str(one["product_type"]),
            }
            for one in mappings
            if one["strategy_id"] == row["id"]
        ],
    }


def _ciphers(env: Mapping[str, str]) -> list[Fernet]:
    pepper = env.get("API_KEY_PEPPER", "")
    salts = [FIRST_SALT]
    text = env.get("FERNET_SALT", "").strip()
    if len(text) >= 32:
        with suppress(ValueError):
            salts.insert(0, bytes.fromhex(text))
    return [Fernet(base64.urlsafe_b64encode(_derived(salt, pepper))) for salt in salts] if pepper else []


def _derived(salt: bytes, pepper: str) -> bytes:
    return PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=ROUNDS).derive(pepper.encode())


def _decrypted(sealed: str, ciphers: list[Fernet]) -> Secret | None:
    for cipher in ciphers:
        try:
            return Secret(cipher.decrypt(sealed.encode()).decode())
        except InvalidToken:
            continue
    return None
