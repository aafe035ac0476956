"""Small rooms of the floor: secrets, redaction, clocks, calendar, registry."""

from __future__ import annotations

import io
import json
import logging
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from brokers import registry
from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST, ManualClock
from brokers.contract import BrokerSession
from brokers.errors import SettingsError
from brokers.jsonlog import JsonLines
from brokers.redact import Redactor
from brokers.secret import Secret

JWT = "eyJ" + "hbGciOiJI.eyJleHAi.c2ln"


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter22")
    assert f"{secret} {secret!r}" == "Secret(***) Secret(***)"
    assert secret.reveal() == "hunter22"
    assert secret == Secret("hunter22")
    assert secret != Secret("hunter23")
    with pytest.raises(TypeError):
        "".join([secret])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        json.dumps({"a": secret})
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("token is hunter22 here", "hunter22"),
        (f"Authorization: Bearer {JWT}", JWT),
        ('{"access-token": "abcd1234"}', "abcd1234"),
        ("GET /?pin=112233&x=1", "112233"),
        ("apikey=0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_no_credential_reaches_a_log(text: str, gone: str, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("redaction test")
    log.addFilter(Redactor([Secret("hunter22")]))
    with caplog.at_level(logging.INFO):
        log.info("%s", text)
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("failed")
    shown = caplog.text
    assert gone not in shown
    assert "***" in shown


def test_a_redacted_line_is_still_json() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines({"process": "t"}, Redactor([Secret("hunter22")])))
    log = logging.getLogger("json line test")
    log.addHandler(handler)
    log.propagate = False
    try:
        raise ValueError('quoted "pin: 112233" and \\token=abcd1234\\')
    except ValueError:
        log.exception('say "hunter22"', extra={"path": 'C:\\apikey="0123456789"'})
    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line["logger"] == "json line test"
    for gone in ("hunter22", "112233", "abcd1234", "0123456789"):
        assert gone not in stream.getvalue()


def test_redaction_leaves_ordinary_words_alone() -> None:
    text = "kotak.api ready in 1.2 s, symbol SBIN, order 112111182198"
    assert Redactor().clean(text) == text


def test_a_manual_clock_separates_steps_from_time() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    before = clock.monotonic()
    clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.monotonic() == before
    clock.advance(1.5)
    assert clock.monotonic() == before + 1.5
    assert clock.time_ns() == int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()) * 10**9 + 1_500_000_000


def test_a_session_survives_its_plain_form() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    session = BrokerSession("dhan", "11", {"token": Secret("t")}, {"a": "b"}, at, at, 4)
    again = BrokerSession.from_plain(json.loads(json.dumps(session.to_plain())))
    assert again == session
    assert "t" not in repr(session).replace("token", "").replace("attributes", "").split("Secret(")[1][:4]


def calendar(tmp_path: Path) -> FileCalendar:
    data = {
        "dated": "2026-01-01",
        "hours": {"NSE": ["09:15", "15:30"], "MCX": ["09:00", "23:55"], "CRYPTO": ["00:00", "00:00"]},
        "days": [
            {"date": "2026-01-26", "closed": ["NSE"]},
            {"date": "2026-11-08", "open": {"NSE": ["18:00", "19:00"]}},
        ],
    }
    path = tmp_path / "calendar.json"
    path.write_text(json.dumps(data))
    return FileCalendar(path)


def test_sessions_by_exchange_and_date(tmp_path: Path) -> None:
    days = calendar(tmp_path)
    monday = days.session("NSE", date(2026, 1, 5))
    assert monday is not None
    assert monday.opens == datetime(2026, 1, 5, 9, 15, tzinfo=IST)
    assert days.session("NSE_INDEX", date(2026, 1, 5)) == monday
    assert days.session("NSE", date(2026, 1, 26)) is None
    assert days.session("MCX", date(2026, 1, 26)) is not None
    assert days.session("NSE", date(2026, 1, 10)) is None
    assert days.session("CRYPTO", date(2026, 1, 10)) is not None
    special = days.session("NSE", date(2026, 11, 8))
    assert special is not None
    assert special.opens.timetz() == time(18, tzinfo=IST)
    assert days.session("XYZ", date(2026, 1, 5)) is None


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (datetime(2026, 1, 5, 3, 45, tzinfo=UTC), True),
        (datetime(2026, 1, 5, 3, 44, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 5, 9, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 5, 10, 0, tzinfo=UTC), False),
    ],
)
def test_the_opening_second_is_in_and_the_closing_one_out(
    tmp_path: Path, at: datetime, is_open: bool
) -> None:
    assert calendar(tmp_path).is_open("NSE", at) is is_open


def test_the_committed_calendar_reads_and_is_dated() -> None:
    days = FileCalendar()
    assert date.fromisoformat(days.dated) >= date(2026, 1, 1)
    assert days.session("NSE", date(2026, 1, 26)) is None


def test_the_simulated_exchange_never_closes() -> None:
    session = AlwaysOpen().session("NSE", date(2026, 1, 10))
    assert session is not None
    assert session.closes - session.opens == timedelta(days=1)


def test_brokers_are_found_by_name_and_alias() -> None:
    assert registry.spec("kotak_neo").name == "kotak"
    assert registry.spec(" Dhan ").name == "dhan"
    with pytest.raises(SettingsError, match="known: dhan, kotak"):
        registry.spec("acme")


@pytest.mark.parametrize("name", registry.names())
def test_a_specs_order_windows_stay_below_what_the_broker_publishes(name: str) -> None:
    windows = registry.spec(name).order_windows
    assert windows[0].count <= 9
    assert windows[0].seconds >= 1.1


def test_the_light_half_imports_nothing_heavy() -> None:
    code = (
        "import sys, brokers.registry, gateway.settings\n"
        "heavy = {'flask', 'sqlalchemy', 'urllib3', 'websockets', 'aiohttp', 'zmq'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
