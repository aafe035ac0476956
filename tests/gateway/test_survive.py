"""A loop nobody could start again goes on, and says why it nearly did not."""

import logging

import pytest

from gateway.survive import survive

log = logging.getLogger("loop")


def test_what_nobody_foresaw_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with survive(log, "the loop") as turn:
        raise RuntimeError("never seen before")
    assert turn.failed
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "the loop")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


def test_a_turn_that_went_well_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with survive(log, "the loop") as turn:
        pass
    assert not turn.failed
    assert not caplog.records


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_process_passes(end: type[BaseException]) -> None:
    with pytest.raises(end), survive(log, "the loop"):
        raise end
