"""One file that holds everything a person would miss: env files, databases, the kill switch.

Databases are copied by SQLite's own online backup, so a running instance goes on and the copy is whole. The
file is readable by its owner only, or encrypted with a passphrase: it holds broker credentials.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from brokers.errors import AlgoError, SettingsError
from brokers.secret import Secret

FORMAT = 1
MANIFEST = "manifest.json"
MAGIC = b"algo-backup-1\n"
CHUNK = 1 << 20
CONTROL = "control.db"
SCRYPT = {"length": 32, "n": 2**15, "r": 8, "p": 1}
KEPT = (
    "instances/*.env",
    *(f"{data}/*.db" for data in ("db", "db/sim")),
    *(
        f"{data}/{name}"
        for data in ("db", "db/sim")
        for name in ("console.json", "route-keys.json", "run/panic.json")
    ),
)
"""Under the home; the market-data stores' files are found through their manifests."""
TRIES = 3


class ArchiveError(AlgoError):
    """The file is not a whole backup, or the passphrase does not open it."""

    code = "BACKUP"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup. ``name`` is relative to the home, with ``/``."""

    name: str
    size: int
    sha256: str


def write(
    home: Path,
    extra: Sequence[Path],
    target: Path,
    passphrase: Secret | None,
    stores: Sequence[Path] = (),
) -> list[Entry]:
    """Write a backup while everything may be running.

    Args:
        extra: Databases that lie elsewhere (an imported env may name any path).
        stores: Folders of market-data stores (``…/historify.d``); those that do not exist are left out.

    Raises:
        SettingsError: The target exists, or there is nothing to back up.
        ArchiveError: A database cannot be read.
    """
    if target.exists():
        raise SettingsError(f"{target} exists; choose another name")
    found = sorted({p for pattern in KEPT for p in home.glob(pattern)} | {p for p in extra if p.exists()})
    stores = [folder for folder in stores if (folder / CONTROL).exists()]
    if not found and not stores:
        raise SettingsError(f"nothing to back up under {home}")
    # beside the target: the disk that will hold the backup is the one that needs room
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".algo-backup-") as scratch:
        entries, plain = [], Path(scratch) / "backup.tar.gz"
        with tarfile.open(plain, "w:gz", compresslevel=6) as tar:
            for path in found:
                copy = _copy(path, Path(scratch))
                name = _name(home, path)
                entries.append(Entry(name, copy.stat().st_size, _digest(copy)))
                tar.add(copy, name, filter=_owner_only)
                copy.unlink()
            for folder in stores:
                for name, path in _store(home, folder, Path(scratch)):
                    entries.append(Entry(name, path.stat().st_size, _digest(path)))
                    tar.add(path, name, filter=_owner_only)
                    path.unlink()
            _add_manifest(tar, home, entries)
        plain.chmod(0o600)
        if passphrase is not None:
            sealed = Path(scratch) / "sealed"
            _seal(plain, sealed, passphrase)
            plain = sealed
        os.replace(plain, target)
    return entries


def _store(home: Path, folder: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """One market-data store, whole: its manifest, and exactly the segments the copy of it lists.

    Segments never change once they are written; one that is superseded is deleted a minute later at the
    earliest. So they are taken by hard link at once, before the slow part, and when one is gone all the same
    the manifest is read again.
    """
    for left in range(TRIES, 0, -1):
        manifest = _copy(folder / CONTROL, scratch)
        with closing(sqlite3.connect(manifest)) as connection:
            names = [str(row[0]) for row in connection.execute("SELECT path FROM segment ORDER BY path")]
        kept = scratch / "segments"
        kept.mkdir(exist_ok=True)
        try:
            for number, name in enumerate(names):
                _take(folder / name, kept / str(number))
        except FileNotFoundError as exc:
            if left > 1:
                for path in kept.iterdir():
                    path.unlink()
                continue
            raise ArchiveError(f"{exc.filename} is missing; see: algo history verify") from exc
        yield _name(home, folder / CONTROL), manifest
        for number, name in enumerate(names):
            yield _name(home, folder / name), kept / str(number)
        return


def _take(path: Path, goal: Path) -> None:
    """The same bytes under another name: a hard link where the disk is the same, else a copy."""
    try:
        os.link(path, goal)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, goal)


def _copy(path: Path, scratch: Path) -> Path:
    copy = scratch / "copy"
    if path.suffix != ".db":
        copy.write_bytes(path.read_bytes())
        return copy
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)) as source,
            closing(sqlite3.connect(copy)) as goal,
        ):
            source.backup(goal, pages=2000, sleep=0.005)
            goal.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as exc:
        raise ArchiveError(f"{path} cannot be copied: {exc}; see: algo doctor") from exc
    return copy


def _name(home: Path, path: Path) -> str:
    if path.is_relative_to(home):
        return path.relative_to(home).as_posix()
    return f"elsewhere/{path.as_posix().lstrip('/')}"


def _owner_only(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mode, info.uid, info.gid, info.uname, info.gname = 0o600, 0, 0, "", ""
    return info


def _add_manifest(tar: tarfile.TarFile, home: Path, entries: Sequence[Entry]) -> None:
    plain = {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "home": str(home),
        "files": {e.name: {"size": e.size, "sha256": e.sha256} for e in entries},
    }
    raw = json.dumps(plain, indent=1).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size = len(raw)
    tar.addfile(_owner_only(info), io.BytesIO(raw))


def restore(source: Path, home: Path, passphrase: Secret | None) -> tuple[list[str], Path | None]:
    """Put a backup's files back. What stood in their place is moved aside, never deleted.

    The whole backup is unpacked and checked before the first file is touched.

    Returns:
        Names of the files restored, and the folder that holds what was there before (None: nothing was).

    Raises:
        ArchiveError: Torn, changed, not a backup, or the wrong passphrase.
    """
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".algo-restore-") as scratch:
        unpacked = Path(scratch)
        entries = _unpack(source, unpacked, passphrase)
        for entry in entries:
            _check(unpacked / entry.name, entry)
        aside = home / f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        moved = _put_stores_aside(home, [entry.name for entry in entries], aside)
        for entry in entries:
            goal = _goal(home, entry.name)
            for old in (goal, Path(f"{goal}-wal"), Path(f"{goal}-shm")):
                if old.exists():
                    kept = aside / _name(home, old)
                    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    os.replace(old, kept)
                    moved = True
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.replace(unpacked / entry.name, goal)
            goal.chmod(0o600)
    return [entry.name for entry in entries], aside if moved else None


def _put_stores_aside(home: Path, names: Sequence[str], aside: Path) -> bool:
    """A store is put back whole: what is there now goes aside with its face, which names files of its own."""
    moved = False
    for name in names:
        goal = _goal(home, name)
        if goal.name != CONTROL:
            continue
        for old in (goal.parent, goal.parent.with_suffix(".duckdb")):
            if old.exists():
                kept = aside / _name(home, old)
                kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.replace(old, kept)
                moved = True
    return moved


def _unpack(source: Path, folder: Path, passphrase: Secret | None) -> list[Entry]:
    try:
        with source.open("rb") as file:
            sealed = file.read(len(MAGIC)) == MAGIC
        if sealed:
            if passphrase is None:
                raise ArchiveError(f"{source} is encrypted; its passphrase is needed")
            opened = folder / ".opened"
            _unseal(source, opened, passphrase)
            source = opened
        with tarfile.open(source, "r:gz") as tar:
            for member in tar:
                _refuse_odd(member)
                tar.extract(member, folder, filter="data")
        plain = json.loads((folder / MANIFEST).read_text())
        return list(_entries(plain))
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as exc:
        raise ArchiveError(f"{source.name} is not a whole backup of algo ({exc})") from exc


def _refuse_odd(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    outside = path.parts[:1] == ("elsewhere",) and path.suffix not in (".db", ".parquet")
    if not member.isfile() or path.is_absolute() or ".." in path.parts or outside:
        raise ArchiveError(f"refused: {member.name!r} is not a file a backup holds")


def _entries(plain: dict[str, Any]) -> Iterator[Entry]:
    if plain["format"] != FORMAT:
        raise ValueError(f"format {plain['format']}, this version reads {FORMAT}")
    for name, row in plain["files"].items():
        yield Entry(str(name), int(row["size"]), str(row["sha256"]))


def _check(path: Path, entry: Entry) -> None:
    if not path.is_file() or path.stat().st_size != entry.size or _digest(path) != entry.sha256:
        raise ArchiveError(f"{entry.name} in the backup is torn or was changed; nothing was restored")
    if path.suffix == ".db":
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            raise ArchiveError(f"{entry.name} in the backup is damaged ({said}); nothing was restored")


def _goal(home: Path, name: str) -> Path:
    return Path("/", name.removeprefix("elsewhere/")) if name.startswith("elsewhere/") else home / name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(plain: Path, target: Path, passphrase: Secret) -> None:
    """AES-256-GCM in chunks, each bound to its number and to being the last one, under a scrypt key."""
    salt = os.urandom(16)
    cipher = AESGCM(_key(passphrase, salt))
    with plain.open("rb") as source, target.open("xb") as goal:
        os.chmod(target, 0o600)
        goal.write(MAGIC + base64.b64encode(salt) + b"\n")
        number, chunk = 0, source.read(CHUNK)
        while True:
            following = source.read(CHUNK)
            goal.write(
                cipher.encrypt(number.to_bytes(12, "big"), chunk, b"last" if not following else b"more")
            )
            if not following:
                return
            number, chunk = number + 1, following


def _unseal(source: Path, target: Path, passphrase: Secret) -> None:
    with source.open("rb") as file, target.open("xb") as goal:
        file.read(len(MAGIC))
        cipher = AESGCM(_key(passphrase, base64.b64decode(file.readline())))
        number, chunk = 0, file.read(CHUNK + 16)
        while True:
            following = file.read(CHUNK + 16)
            bound = b"last" if not following else b"more"
            try:
                goal.write(cipher.decrypt(number.to_bytes(12, "big"), chunk, bound))
            except InvalidTag as exc:
                raise ArchiveError("the passphrase does not open it, or the file was cut or changed") from exc
            if not following:
                return
            number, chunk = number + 1, following


def _key(passphrase: Secret, salt: bytes) -> bytes:
    return Scrypt(salt=salt, **SCRYPT).derive(passphrase.reveal().encode())
