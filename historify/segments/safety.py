"""Where a store must not lie: its locks and its WAL hold on a local disk only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from brokers.folders import synced_by
from historify.errors import UnsafeFolder

REMOTE = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "9p", "drvfs",
     "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.davfs2", "ceph", "glusterfs",
     "fuse.glusterfs", "lustre", "beegfs", "afs", "ncpfs"}
)  # fmt: skip


def check_folder(folder: Path, mounts: Iterable[tuple[str, str]] | None = None) -> None:
    """Refuse a network drive or a synced folder.

    Args:
        folder: Need not exist yet.
        mounts: Mount points with their file system; None asks the system.

    Raises:
        UnsafeFolder: The message says why and what to do.
    """
    folder = folder.resolve()
    if word := synced_by(folder):
        raise UnsafeFolder(
            f"{folder} lies in a synced folder ({word}): a sync tool copies files while they are written; "
            "set HISTORIFY_DATABASE_URL to a folder that is not synced"
        )
    kind = _file_system(folder, _mounted() if mounts is None else mounts)
    if kind in REMOTE or str(folder).startswith("\\\\"):
        raise UnsafeFolder(
            f"{folder} lies on a network drive ({kind or 'UNC path'}), where locks do not hold; "
            "set HISTORIFY_DATABASE_URL to a folder on a local disk"
        )


def _mounted() -> list[tuple[str, str]]:
    try:
        return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    except (OSError, psutil.Error):  # a container without /proc/mounts: nothing is known against it
        return []


def _file_system(folder: Path, mounts: Iterable[tuple[str, str]]) -> str:
    best = max(
        ((point, kind) for point, kind in mounts if folder == Path(point) or Path(point) in folder.parents),
        key=lambda found: len(found[0]),
        default=("", ""),
    )
    return best[1].lower()
