"""Whether the file at the store's path is ours, before anybody is told "no data" beside a full one."""

from __future__ import annotations

import importlib

from historify.control import Control
from historify.errors import ForeignStore, StoreError
from historify.paths import StorePaths


def check_face(paths: StorePaths, control: Control) -> None:
    """Look at the file people open, unless we have published it before. Loads DuckDB only then.

    Raises:
        ForeignStore: It is somebody else's; it was left untouched.
        StoreError: It is an OpenAlgo store whose bars have not been taken over yet.
    """
    if not paths.face.exists():
        return
    with control.read() as connection:
        if connection.execute("SELECT 1 FROM face LIMIT 1").fetchone() is not None:
            return
    detect = importlib.import_module("historify.face.detect")
    found = detect.inspect(paths.face)
    if found.kind is detect.Kind.OPENALGO:
        raise StoreError(
            f"{paths.face} is an OpenAlgo store whose bars have not been taken over yet; the puller does it "
            "when it starts, or now: algo history migrate"
        )
    if found.kind in (detect.Kind.FOREIGN, detect.Kind.UNREADABLE):
        raise ForeignStore(
            f"{paths.face} is no market-data store ({found.detail}); it was left untouched: move it away, or "
            "set HISTORIFY_DATABASE_URL to another path"
        )
