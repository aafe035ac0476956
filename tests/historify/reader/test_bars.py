"""``Reader`` on files: the right bars, or an error that names what is wrong; never an empty answer."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from datetime import date

import pytest

from brokers.calendar import FileCalendar
from brokers.errors import InvalidRequest
from historify.errors import QueryLimit, StoreDamaged, WrongInterval
from historify.model import BarRequest, Bars, Series
from historify.reader import actions
from historify.reader.bars import Reader
from historify.reader.limits import Limits
from tests.historify.reader.stores import HandMade, at, daily, days, minutes

SBIN = Series("NSE", "SBIN", "1m")
DAILY = Series("NSE", "SBIN", "D")


def ask(
    interval: str, start: str, end: str, symbol: str = "SBIN", exchange: str = "NSE", **more: bool
) -> BarRequest:
    return BarRequest(exchange, symbol, interval, date.fromisoformat(start), date.fromisoformat(end), **more)


@pytest.fixture
def store(tmp_path):
    made = HandMade(tmp_path, FileCalendar())
    yield made
    made.control.close()


@pytest.fixture
def reader(store):
    made = store.reader()
    yield made
    made.close()


def test_minutes_come_back_as_stored_across_segments(store, reader):
    october, november = minutes("2026-10-30", "09:15", 375), minutes("2026-11-02", "09:15", 375, base=500)
    store.add(SBIN, november)
    store.add(SBIN, october)
    assert list(reader.get(ask("1m", "2026-10-01", "2026-11-30")).rows()) == october + november
    assert list(reader.get(ask("1m", "2026-11-02", "2026-11-02")).rows()) == november


def test_a_day_without_bars_is_empty(store, reader):
    store.add(SBIN, minutes("2026-11-02", "09:15", 5))
    assert len(reader.get(ask("1m", "2026-11-03", "2026-11-04"))) == 0
    assert len(reader.get(ask("1m", "2026-11-02", "2026-11-02", symbol="ITC"))) == 0


@pytest.mark.parametrize("symbol", ["M&M", "NIFTY 50", "A/B", "nifty", "it's", "100%"])
def test_any_symbol_is_found_under_its_own_name(store, reader, symbol):
    rows = minutes("2026-11-02", "09:15", 3)
    store.add(Series("NSE", symbol, "1m"), rows)
    assert list(reader.get(ask("1m", "2026-11-02", "2026-11-02", symbol=symbol)).rows()) == rows


def test_intraday_bars_start_at_the_session(store, reader):
    store.add(SBIN, minutes("2026-11-02", "09:15", 375))
    hours = reader.get(ask("1h", "2026-11-02", "2026-11-02"))
    assert list(hours.ts) == [at("2026-11-02", f"{hour:02}:15") for hour in range(9, 16)]
    first, *_, last = hours.rows()
    assert first[1:] == (100.0, 159.5, 99.5, 159.25, sum(range(10, 70)), 1059)
    assert last[1:] == (460.0, 474.5, 459.5, 474.25, sum(range(370, 385)), 1374)


@pytest.mark.parametrize("interval", ["3m", "5m", "10m", "15m", "30m", "1h", "2h", "4h"])
def test_every_computed_interval_equals_a_plain_sum(store, reader, interval):
    step = {"3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240}[interval] * 60
    shuffled = random.Random(6)
    rows = []
    expected = []
    for day in ("2026-11-02", "2026-11-03"):
        opens = at(day, "09:15")
        here = [
            (
                row[0],
                *(shuffled.randint(1, 9999) / 100 for _ in range(4)),
                *(shuffled.randint(1, 99) for _ in "vo"),
            )
            for row in minutes(day, "09:15", 375)
            if shuffled.random() < 0.9  # with holes
        ]
        rows += here
        for start in range(opens, opens + 375 * 60, step):
            inside = [row for row in here if start <= row[0] < start + step]
            if inside:
                expected.append(
                    (start, inside[0][1], max(r[2] for r in inside), min(r[3] for r in inside), inside[-1][4],
                     sum(r[5] for r in inside), inside[-1][6])
                )  # fmt: skip
    store.add(SBIN, rows)
    assert list(reader.get(ask(interval, "2026-11-01", "2026-11-30")).rows()) == expected


def test_the_simulated_exchange_starts_at_midnight(tmp_path):
    store = HandMade(tmp_path)
    store.add(SBIN, minutes("2026-11-02", "00:00", 1440))
    found = store.reader().get(ask("4h", "2026-11-02", "2026-11-02"))
    assert list(found.ts) == [at("2026-11-02", f"{hour:02}:00") for hour in range(0, 24, 4)]


def test_weeks_months_quarters_and_years_come_from_days(store, reader):
    store.add(
        DAILY,
        days(
            [
                ("2026-09-30", 10),
                ("2026-10-01", 20),
                ("2026-10-30", 30),
                ("2026-11-02", 40),
                ("2026-11-06", 50),
            ]
        ),
    )
    labels = {
        "W": ["2026-09-28", "2026-10-26", "2026-11-02"],
        "M": ["2026-09-01", "2026-10-01", "2026-11-01"],
        "Q": ["2026-07-01", "2026-10-01"],
        "Y": ["2026-01-01"],
    }
    for interval, expected in labels.items():
        found = reader.get(ask(interval, "2026-01-01", "2026-12-31"))
        assert list(found.ts) == [daily(day) for day in expected], interval
    year = reader.get(ask("Y", "2026-01-01", "2026-12-31"))
    assert list(year.rows()) == [(daily("2026-01-01"), 10.0, 51.0, 9.0, 50.5, 500, 7)]


def test_a_week_is_whole_at_its_start_and_ends_with_the_range(store, reader):
    store.add(DAILY, days([("2026-11-02", 1), ("2026-11-04", 2), ("2026-11-06", 3)]))
    week = reader.get(ask("W", "2026-11-04", "2026-11-05"))
    assert list(week.rows()) == [(daily("2026-11-02"), 1.0, 3.0, 0.0, 2.5, 200, 7)]


def test_days_are_never_made_from_minutes(store, reader):
    store.add(SBIN, minutes("2026-11-02", "09:15", 375))
    assert len(reader.get(ask("D", "2026-11-02", "2026-11-02"))) == 0


def test_a_range_of_all_time_costs_no_more_than_the_bars(store, reader):
    store.add(SBIN, minutes("2026-11-02", "09:15", 30))
    assert len(reader.get(ask("15m", "0001-01-02", "9999-12-30"))) == 2


@pytest.mark.parametrize("interval", ["7m", "1H", "d", "", "1m; DROP TABLE x"])
def test_an_unknown_interval_is_refused_with_the_known_ones(reader, interval):
    with pytest.raises(WrongInterval, match="1m, 3m, 5m"):
        reader.get(ask(interval, "2026-11-02", "2026-11-02"))


def test_reversed_dates_are_refused(reader):
    with pytest.raises(InvalidRequest, match="ends .* before it starts"):
        reader.get(ask("1m", "2026-11-03", "2026-11-02"))


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0x40
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [lambda file: file.unlink(), cut, flip, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_a_damaged_segment_is_an_error_that_names_it(store, reader, harm, interval):
    store.add(SBIN, minutes("2026-10-30", "09:15", 375))
    bad = store.add(SBIN, minutes("2026-11-02", "09:15", 375))
    store.add(Series("NSE", "ITC", "1m"), minutes("2026-11-02", "09:15", 375))
    harm(store.file(bad))
    with pytest.raises(StoreDamaged, match=r"NSE:SBIN 1m.*2026-11-02.*p2\.e1-2\.parquet"):
        reader.get(ask(interval, "2026-10-01", "2026-11-30"))
    assert len(reader.get(ask("1m", "2026-10-30", "2026-10-30"))) == 375  # its other months
    assert len(reader.get(ask("1m", "2026-11-02", "2026-11-02", symbol="ITC"))) == 375


def test_a_file_exchanged_after_it_was_read_is_noticed(store, reader):
    request = ask("1m", "2026-11-02", "2026-11-02")
    segment = store.add(SBIN, minutes("2026-11-02", "09:15", 375))
    other = store.add(Series("NSE", "ITC", "1m"), minutes("2026-11-02", "09:15", 30))
    assert len(reader.get(request)) == 375
    shutil.copyfile(store.file(other), store.file(segment))
    with pytest.raises(StoreDamaged, match="NSE:SBIN 1m"):
        reader.get(request)
    with pytest.raises(StoreDamaged, match="NSE:SBIN 1m"):
        reader.latest([("NSE", "SBIN")], "1m")


def test_a_file_merged_away_meanwhile_is_looked_up_once_more(store, reader, monkeypatch):
    old = store.add(SBIN, minutes("2026-11-02", "09:15", 10))
    real = Reader._get

    def merged_at_the_worst_moment(self, request):
        monkeypatch.setattr(Reader, "_get", real)
        check = Reader._check

        def gone(self, segments, **more):
            monkeypatch.setattr(Reader, "_check", check)
            store.add(SBIN, minutes("2026-11-02", "09:15", 20), replaces=[old])
            store.file(old).unlink()
            return check(self, segments, **more)

        monkeypatch.setattr(Reader, "_check", gone)
        return real(self, request)

    monkeypatch.setattr(Reader, "_get", merged_at_the_worst_moment)
    assert len(reader.get(ask("1m", "2026-11-02", "2026-11-02"))) == 20


@pytest.mark.parametrize("hot", [True, False])
def test_the_last_day_of_many_in_one_go(store, reader, hot):
    for symbol, day in (("SBIN", "2026-11-02"), ("M&M", "2026-11-02"), ("OLD", "2026-10-28")):
        rows = minutes("2026-10-27", "09:15", 5) + minutes(day, "09:15", 7, base=ord(symbol[0]))
        store.add(Series("NSE", symbol, "1m"), rows, hot=hot)
    found = reader.latest([("NSE", "SBIN"), ("NSE", "M&M"), ("NSE", "OLD"), ("NSE", "NONE")], "1m")
    assert {key[1]: (bars.ts[0], len(bars), bars.open[0]) for key, bars in found.items()} == {
        "SBIN": (at("2026-11-02", "09:15"), 7, float(ord("S"))),
        "M&M": (at("2026-11-02", "09:15"), 7, float(ord("M"))),
        "OLD": (at("2026-10-28", "09:15"), 7, float(ord("O"))),
    }


def test_the_last_day_is_never_an_older_one_the_writer_forgot(store, reader):
    old = store.add(SBIN, minutes("2026-11-02", "09:15", 5), hot=True)
    store.add(SBIN, minutes("2026-11-02", "09:15", 5) + minutes("2026-11-03", "09:15", 9), replaces=[old])
    assert len(reader.latest([("NSE", "SBIN")], "1m")["NSE", "SBIN"]) == 9


def test_the_last_day_of_a_damaged_segment_is_an_error(store, reader):
    segment = store.add(SBIN, minutes("2026-11-02", "09:15", 5))
    cut(store.file(segment))
    with pytest.raises(StoreDamaged, match="NSE:SBIN 1m"):
        reader.latest([("NSE", "SBIN")], "1m")
    with pytest.raises(WrongInterval):
        reader.latest([("NSE", "SBIN")], "5m")


def test_adjusted_prices_are_continuous_over_a_split_and_a_bonus(store, reader):
    store.add(
        DAILY, days([("2026-10-01", 1000), ("2026-10-05", 200), ("2026-11-02", 100), ("2026-11-03", 101)])
    )
    csv = """Exchange, symbol,ex_date,kind,ratio
        NSE,SBIN,2026-10-05,split,10:2
        NSE,SBIN,2026-11-02,bonus,1:1
        NSE,SBIN,2026-12-01,bonus,1:1"""
    parsed, errors = actions.parse(csv.splitlines())
    assert errors == []
    with store.control.transaction() as tx:
        actions.save(tx, parsed, 0)
    request = ask("D", "2026-10-01", "2026-11-30", adjusted=True)
    found = reader.get(request)
    assert list(found.open) == [100.0, 100.0, 100.0, 101.0]  # December's has not happened yet
    assert list(found.volume) == [1000, 200, 100, 100]
    assert list(reader.get(ask("D", "2026-10-01", "2026-11-30")).open) == [1000.0, 200.0, 100.0, 101.0]
    week = reader.get(ask("M", "2026-10-01", "2026-10-31", adjusted=True))
    assert list(week.rows()) == [(daily("2026-10-01"), 100.0, 100.5, 99.5, 100.25, 1200, 7)]


def test_continuous_futures_roll_when_the_contract_expires(store, reader):
    for expiry, price in (("27OCT26", 1), ("24NOV26", 2), ("29DEC26", 3)):
        rows = days([(day, price) for day in ("2026-10-26", "2026-10-27", "2026-10-28", "2026-11-25")])
        store.add(Series("NFO", f"NIFTY{expiry}FUT", "D"), rows)
    store.add(Series("NFO", "BANKNIFTY27OCT26FUT", "D"), days([("2026-10-26", 9)]))
    front = reader.get(ask("D", "2026-10-01", "2026-11-30", symbol="NIFTY-I", exchange="NFO"))
    assert list(front.open) == [1.0, 1.0, 2.0, 3.0]
    second = reader.get(ask("D", "2026-10-01", "2026-11-30", symbol="NIFTY-II", exchange="NFO"))
    assert list(second.open) == [2.0, 2.0, 3.0]
    week = reader.get(ask("W", "2026-10-28", "2026-10-28", symbol="NIFTY-I", exchange="NFO"))
    assert list(week.rows()) == [(daily("2026-10-26"), 1.0, 3.0, 0.0, 2.5, 300, 7)]


def test_many_threads_read_at_once(store, reader):
    rows = minutes("2026-11-02", "09:15", 375)
    store.add(SBIN, rows)
    answers: list[list[tuple[float, ...]]] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(list(reader.get(ask("1m", "2026-11-02", "2026-11-02")).rows()))
        )
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [rows] * 12


def test_a_query_that_takes_too_long_is_stopped(store):
    store.add(SBIN, minutes("2026-11-02", "09:15", 375))
    engine = Reader(store.control, store.paths.root, store.calendar, limits=Limits(query_s=0.05))._engine()
    with pytest.raises(QueryLimit, match=r"0\.05 s"):
        engine.columns("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", "q")
    assert engine.columns("SELECT 1::BIGINT", "q")[0][0] == 1


def test_nothing_heavy_is_imported_before_the_first_question():
    script = "import sys, historify.reader.bars; print({'duckdb', 'numpy', 'pyarrow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_no_extension_is_fetched_or_loaded(store, reader):
    store.add(SBIN, minutes("2026-11-02", "09:15", 5))
    reader.get(ask("15m", "2026-11-02", "2026-11-02"))
    engine = reader._engine()
    names = ("autoinstall_known_extensions", "autoload_known_extensions")
    for name in names:
        assert engine._db.execute(f"SELECT current_setting('{name}')").fetchone() == (False,)


def test_an_empty_answer_has_all_columns(reader):
    assert reader.get(ask("1h", "2026-11-02", "2026-11-02")) == Bars()
