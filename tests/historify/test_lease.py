from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from historify.control import Control
from historify.errors import LeaseLost, PullerBusy
from historify.lease import (
    PullerLock,
    Request,
    acquire,
    answered,
    check,
    current,
    request_release,
    requested,
    writing,
)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    made = Control(tmp_path / "control.db")
    yield made
    made.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 20, 5, 0, tzinfo=UTC))


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[PullerLock]:
    made = PullerLock(tmp_path / "puller.lock")
    made.acquire()
    yield made
    made.release()


def pretend(control: Control, **columns: object) -> None:
    """Let the row of the lease be of another process."""
    words = ", ".join(f"{name}=?" for name in columns)
    with control.transaction() as tx:
        tx.execute(f"UPDATE lease SET {words}", tuple(columns.values()))


HOLDER = """
import sys
from pathlib import Path
from historify.lease import PullerLock
lock = PullerLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_is_one_process_and_frees_with_its_death(tmp_path: Path):
    path = tmp_path / "puller.lock"
    env = {"PYTHONPATH": os.getcwd(), "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True, env=env
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        lock = PullerLock(path)
        with pytest.raises(PullerBusy, match=r"puller\.lock"):
            lock.acquire()
        assert not lock.held
        holder.kill()
        holder.wait()
    lock.acquire()
    with pytest.raises(PullerBusy):
        PullerLock(path).acquire()
    lock.release()


def test_a_lease_needs_the_lock(control, clock, tmp_path):
    for lock in (None, PullerLock(tmp_path / "puller.lock")):
        with pytest.raises(PullerBusy, match=r"puller\.lock first"):
            acquire(control, lock, "dhan", clock)
    assert current(control) is None


def test_every_lease_has_a_greater_epoch_and_fences_the_one_before(control, clock, lock):
    first = acquire(control, lock, "dhan", clock, instance_url="http://127.0.0.1:5001")
    second = acquire(control, lock, "kotak", clock)  # the same process changes the instance it asks through
    assert second.epoch == first.epoch + 1
    with pytest.raises(LeaseLost):
        first.renew()
    with control.transaction() as tx, pytest.raises(LeaseLost, match="kotak holds epoch 2"):
        check(tx, first)
    with control.transaction() as tx:
        check(tx, second)
    first.release()
    holder = current(control)
    assert holder is not None
    assert (holder.name, holder.released) == ("kotak", False)


def test_another_living_process_keeps_its_lease_until_it_runs_out(control, clock, lock):
    acquire(control, lock, "dhan", clock)
    pretend(control, pid=os.getppid())
    with pytest.raises(PullerBusy, match=rf"dhan \(pid {os.getppid()} on .*another 30 s"):
        acquire(control, lock, "kotak", clock)
    clock.advance(29.9)
    with pytest.raises(PullerBusy):
        acquire(control, lock, "kotak", clock)
    clock.advance(0.2)
    assert acquire(control, lock, "kotak", clock).epoch == 2


@pytest.mark.parametrize(
    "gone", [{"pid": 2**22 + 5}, {"boot_id": "before", "pid": 1}, {"released": 1, "pid": 1, "host": "other"}]
)
def test_a_lease_whose_process_is_gone_or_let_go_is_taken_at_once(control, clock, lock, gone):
    acquire(control, lock, "dhan", clock)
    pretend(control, **gone)
    assert acquire(control, lock, "kotak", clock).epoch == 2


def test_another_hosts_process_counts_as_living(control, clock, lock):
    acquire(control, lock, "dhan", clock)
    pretend(control, host="elsewhere", pid=2**22 + 5)
    with pytest.raises(PullerBusy):
        acquire(control, lock, "kotak", clock)
    assert acquire(control, None, "kotak", clock, force=True).epoch == 2


def test_renewing_moves_the_end_and_tells_of_the_session(control, clock, lock):
    lease = acquire(control, lock, "dhan", clock)
    clock.advance(20)
    lease.renew(session_ok=False)
    holder = current(control)
    assert holder is not None
    assert holder.expires_at_s == pytest.approx(clock.time_ns() / 1e9 + 30)
    assert not holder.session_ok
    lease.release()
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_polite_request_is_seen_and_ends_with_the_next_lease(control, clock, lock):
    lease = acquire(control, lock, "dhan", clock)
    assert requested(control) is None
    request_release(control, "owner", clock, instance="kotak")
    assert requested(control) == Request("owner", "kotak")
    answered(control, Request("owner", "dhan"))
    assert requested(control) is not None, "another one was answered"
    lease.release()
    acquire(control, lock, "kotak", clock)
    assert requested(control) is None


def test_a_command_writes_only_while_no_puller_runs(control, clock, tmp_path):
    with writing(control, tmp_path / "puller.lock", "import", clock) as lease:
        assert lease.epoch == 1
        with pytest.raises(PullerBusy), writing(control, tmp_path / "puller.lock", "again", clock):
            pass
    holder = current(control)
    assert holder is not None
    assert holder.released
    with writing(control, tmp_path / "puller.lock", "import", clock) as lease:
        assert lease.epoch == 2


def test_who_let_go_may_not_write_although_the_epoch_is_still_its_own(control, lock, clock):
    lease = acquire(control, lock, "dhan", clock)
    lease.release()
    with pytest.raises(LeaseLost, match="nobody holds it"), control.transaction() as tx:
        check(tx, lease)


def test_a_lease_has_run_out_at_its_end_not_after_it(control, lock, clock):
    acquire(control, lock, "dhan", clock, ttl_s=30.0)
    pretend(control, host="elsewhere")
    clock.advance(29.0)
    with pytest.raises(PullerBusy, match="another 1 s"):
        acquire(control, lock, "kotak", clock)
    clock.advance(1.0)
    assert acquire(control, lock, "kotak", clock).epoch == 2
