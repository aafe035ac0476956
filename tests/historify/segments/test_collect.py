from __future__ import annotations

from pathlib import Path

from brokers.clock import ManualClock
from historify.lease import writing
from historify.segments import manifest
from historify.segments.collect import Collected
from historify.store import SegmentStore
from tests.historify.rows import FROM_BROKER, SBIN, bars


def put(store, fence, price: float) -> None:
    store.put(SBIN, bars("2025-03-04 04:00", 5, price=price), fence=fence, provenance=FROM_BROKER)


def files(store: SegmentStore) -> set[str]:
    return {path.relative_to(store.paths.root).as_posix() for path in store.paths.bars.glob("*/*/*/*")}


def segment(store: SegmentStore) -> str:
    with store.control.read() as connection:
        return manifest.segments(connection, SBIN)[0].path


def publish_face(store: SegmentStore, publish: int | None = None) -> None:
    with store.control.transaction() as tx:
        manifest.face_published(tx, manifest.publish_number(tx) if publish is None else publish, 0.0)


def test_a_replaced_file_goes_after_a_minute_and_two_changes(store, fence, clock: ManualClock):
    put(store, fence, 1)
    old = segment(store)
    put(store, fence, 2)
    clock.advance(61)
    assert store.writer.collect(fence) == Collected(0, 0), "no change since"
    put(store, fence, 3)
    put(store, fence, 4)
    assert store.writer.collect(fence) == Collected(1, 0), "the later ones are not a minute old"
    assert old not in files(store)
    assert len(files(store)) == 3
    assert segment(store) in files(store)


def test_a_minute_is_waited_for_whatever_happens(store, fence, clock: ManualClock):
    for price in range(5):
        put(store, fence, price)
    for _ in range(3):
        publish_face(store)
    clock.advance(59)
    assert store.writer.collect(fence).trash == 0
    clock.advance(2)
    assert store.writer.collect(fence).trash == 4
    assert files(store) == {segment(store)}


def test_what_the_face_shows_stays(store, fence, clock: ManualClock):
    put(store, fence, 1)
    publish_face(store)
    old = segment(store)
    for price in range(2, 6):
        put(store, fence, price)
    clock.advance(3600)
    assert store.writer.collect(fence).trash == 0
    assert old in files(store), "somebody holds the face open; it could not be published anew"
    publish_face(store, publish=1)
    publish_face(store, publish=1)
    assert store.writer.collect(fence).trash == 0, "published twice, from an old snapshot"
    publish_face(store)
    assert store.writer.collect(fence).trash == 4
    assert files(store) == {segment(store)}


def strays(store: SegmentStore, *names: str) -> list[Path]:
    folder = (store.paths.root / segment(store)).parent
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(b"half a file")
    return paths


def test_files_of_older_epochs_no_manifest_lists_go_at_the_next_start(store, clock: ManualClock):
    with writing(store.control, store.paths.lock, "dhan", clock) as fence:
        put(store, fence, 1)
        put(store, fence, 2)
    kept = files(store)
    mine = strays(store, "2025.e1-000077.parquet", ".2026-11.e1-000078.parquet.tmp", "all.e1-000079.parquet")
    others = strays(store, "2025.e2-000001.parquet", "2025.e9-000001.parquet", "notes.txt", "mine.parquet")
    with writing(store.control, store.paths.lock, "dhan", clock) as fence:
        assert fence.epoch == 2
        assert store.writer.collect(fence).orphans == 0, "only when asked to look"
        assert store.writer.collect(fence, orphans=True).orphans == 3
    assert not any(path.exists() for path in mine)
    assert all(path.exists() for path in others), "of its own and of newer epochs, and people's own"
    assert kept <= files(store), "neither the manifest's nor the trash"


def test_a_file_that_cannot_be_deleted_is_tried_again(store, fence, clock: ManualClock, monkeypatch):
    for price in range(4):
        put(store, fence, price)
    clock.advance(61)
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert store.writer.collect(fence).trash == 0
    monkeypatch.setattr(Path, "unlink", real)
    assert store.writer.collect(fence).trash == 1


def test_an_emptied_folder_goes_with_its_last_file(store, fence, clock: ManualClock):
    put(store, fence, 1)
    folder = (store.paths.root / segment(store)).parent
    store.delete(SBIN, fence=fence)
    for _ in range(2):
        publish_face(store)
    clock.advance(61)
    assert store.writer.collect(fence).trash == 1
    assert not folder.exists()
    put(store, fence, 2)
    assert folder.exists()
