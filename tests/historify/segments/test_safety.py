from __future__ import annotations

from pathlib import Path

import pytest

from historify.errors import UnsafeFolder
from historify.segments.safety import check_folder

MOUNTS = [("/", "ext4"), ("/mnt/share", "nfs4"), ("/mnt/share/local", "xfs"), ("/w", "cifs"), ("/c", "9p")]


@pytest.mark.parametrize("folder", ["/mnt/share/historify.d", "/mnt/share", "/w/db/x", "/c/Users/x"])
def test_network_drives_are_refused(folder):
    with pytest.raises(UnsafeFolder, match="network drive.*HISTORIFY_DATABASE_URL"):
        check_folder(Path(folder), MOUNTS)


@pytest.mark.parametrize("folder", ["/home/x/OneDrive - Firm/db", "/home/x/Dropbox/a", "/x/Google Drive/db"])
def test_synced_folders_are_refused(folder):
    with pytest.raises(UnsafeFolder, match="synced folder"):
        check_folder(Path(folder), MOUNTS)


@pytest.mark.parametrize("folder", ["/home/x/algo/db", "/mnt/share/local/db", "/mnt/sharedisk/db"])
def test_local_disks_are_fine(folder):
    check_folder(Path(folder), MOUNTS)


def test_the_systems_own_mounts_are_asked(tmp_path: Path):
    check_folder(tmp_path)
