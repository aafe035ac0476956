"""One report in all its forms: the same figures, n everywhere, nothing that runs in the page."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from gateway import comparisonfile
from gateway.latency.model import STAGES
from gateway.latency.reader import Samples
from gateway.pagekit.hues import HUES, hue_of, hues_of
from supervisor.compare import collect, figures, page, passing, report, svg
from supervisor.compare.collect import Day, durations
from supervisor.compare.figures import Report
from tests.supervisor.compare.pipeline import FAST, SLOW, run, ticks


@pytest.fixture(scope="module")
def found() -> Report:
    measures, shares = run(4, {"fast": FAST, "slow": SLOW})
    return Report(
        title="Order probes",
        made_at="2026-11-20 10:00 IST",
        venue="sim",
        instances=("fast", "slow"),
        brokers={"fast": "dhan", "slow": "<kotak>"},
        source=("seed 4",),
        measures=measures,
        shares=shares,
        counts={"fast": {"up": "100 %"}},
        race=ticks(4, 0.2),
        notes=("a & b",),
    )


def test_the_table_says_n_and_the_result_in_words(found: Report) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    report.show(found, console)
    said = console.export_text()
    assert re.search(r"fast.* 150 ", said)
    assert re.search(r"place: fast is faster than slow by [\d.]+ ms \(median; 95 % .*n = \d+ pairs\)", said)
    assert "ticks: fast is faster than slow by" in said


def test_equal_brokers_read_as_no_difference(found: Report) -> None:
    same = np.full(40, 0.02) + np.random.default_rng(2).normal(0, 0.004, (2, 40))
    measure = figures.measure_pairs("place", "", {"a": same[0], "b": same[1]}, np.random.default_rng(1))
    text = page.document(replace(found, measures=(measure,), race=None, instances=("a", "b")))
    assert "a and b: no significant difference (95 % " in text
    few = figures.measure_pairs("place", "", {"a": same[0][:3], "b": same[1][:3]}, np.random.default_rng(1))
    assert few.pairs[0].verdict == "a and b: too few samples for a difference"


def test_json_and_csv_hold_the_same_figures(found: Report) -> None:
    plain = json.loads(json.dumps(report.to_json(found), allow_nan=False))
    place = plain["measures"][0]["rows"][0]
    rows = list(csv.DictReader(io.StringIO(report.to_csv(found))))
    assert len(rows) == 6
    assert rows[0]["instance"] == place["instance"] == "fast"
    assert int(rows[0]["n"]) == place["n"] == 150
    assert float(rows[0]["p50_ms"]) == pytest.approx(place["p50"]["value"] * 1e3, abs=1e-3)
    assert plain["measures"][0]["pairs"][0]["significant"] is True
    assert plain["race"]["leads"][0]["p50"]["value"] == pytest.approx(0.2, abs=0.01)
    assert plain["verdicts"] == found.verdicts()


def test_the_page_stands_alone_and_is_well_formed(found: Report) -> None:
    text = page.document(found)
    assert not re.search(r"<script|<link|<img|src=|@import|url\(|https?:|javascript:| on\w+=", text)
    assert "&lt;kotak&gt;" in text
    assert "<kotak>" not in text
    body = text[text.index("<body>") : text.index("</body>") + len("</body>")]
    tree = ElementTree.fromstring(body)
    drawings = list(tree.iter("svg"))
    # three for each of three measures, one lead
    assert len(drawings) == 10
    assert all(drawing.get("aria-label") for drawing in drawings)
    assert all(path.get("style") is None for path in tree.iter())
    assert "nan" not in body
    assert "light-dark(" in text


def test_unanswered_requests_keep_the_curve_below_the_top() -> None:
    values = np.array([0.01] * 8 + [np.inf] * 8)
    measure = figures.measure_pairs("place", "", {"a": values}, np.random.default_rng(1))
    drawn = page.fragment(Report("t", "now", "sim", ("a",), {}, measures=(measure,)))
    path = re.search(r'class="step s5" d="([^"]+)"', drawn)
    assert path is not None
    highest = min(float(point.split()[1]) for point in path[1].lstrip("M").split("L"))
    top, floor = 26.0, 210.0
    assert highest == pytest.approx((top + floor) / 2, abs=1.0)
    assert "<td>16</td><td>8</td>" in drawn


def test_an_instance_wears_the_colour_of_its_own_pages(found: Report) -> None:
    style = (page.STYLE.parent / "style.css").read_text()
    charts = page.STYLE.read_text()
    for hue in range(HUES):
        (own,) = re.findall(rf"\.hue-{hue} {{ --hue: (#\w+); }}", style)
        assert f"--s{hue}: light-dark({own}, " in charts
        for rule in (
            f".s{hue} {{ stroke: var(--s{hue}); }} .f{hue} {{ fill: var(--s{hue}); }}",
            f".k{hue} {{ background: var(--s{hue}); }}",
        ):
            assert rule in charts
    assert charts in page.document(found)
    drawn = page.fragment(found)
    for name in found.instances:
        assert f'class="key k{hue_of(name)}"></span>{name}' in drawn


def test_kotak_is_blue_beside_dhan_and_beside_others() -> None:
    assert hues_of(("dhan", "kotak")) == {"dhan": hue_of("dhan"), "kotak": hue_of("kotak")}
    assert hues_of(("another", "kotak"))["kotak"] == hue_of("kotak")
    assert hue_of("b1") == hue_of("b3")
    assert len(set(hues_of(("b1", "b3")).values())) == 2
    crowd = hues_of([*(f"b{n}" for n in range(6)), "kotak"])
    assert list(crowd.values()).count(crowd["kotak"]) == 1
    assert crowd["kotak"] == hue_of("kotak")
    many = hues_of([f"b{n}" for n in range(6)])
    assert sorted(many.values()) == list(range(HUES))
    assert set(hues_of([f"b{n}" for n in range(9)]).values()) == set(range(HUES))


def test_the_pages_get_the_newest_fragment(found: Report, tmp_path: Path) -> None:
    folder = comparisonfile.folder_of(tmp_path / "run")
    assert comparisonfile.read(folder) == []
    comparisonfile.write(folder, "orders", "old")
    comparisonfile.write(folder, "orders", page.fragment(found))
    (one,) = comparisonfile.read(folder)
    assert (one.kind, one.html) == ("orders", page.fragment(found))
    assert [path.name for path in folder.iterdir()] == ["orders.html"]


def test_only_what_the_broker_took_or_left_unanswered_has_a_duration() -> None:
    columns = {
        "flags": [0, 0, 0, 0, 2, 0],
        "outcome": ["acknowledged", "lost", "rejected", "limited", "acknowledged", "acknowledged"],
        "price_type": ["LIMIT"] * 6,
        "sent_ns": [1_000_000] * 6,
        "acknowledged_ns": [21_000_000, None, 5_000_000, 5_000_000, 9_000_000, None],
    }
    seconds = durations(columns, "sent_ns", "acknowledged_ns", "acknowledge")
    assert seconds[0] == pytest.approx(0.02)
    assert np.isposinf(seconds[1])
    assert np.isnan(seconds[2:]).all()


def test_a_day_without_orders_is_said() -> None:
    class One:
        name, broker = "dhan", "dhan"

        class venue:
            value = "sim"

    found = passing.summarise({"dhan": Day({}, {}, "no such file")}, [One()], "2026-11-20")  # type: ignore[list-item]
    assert "No order was sent on this day" in found.notes[-1]
    assert "dhan: no figures (no such file)" in found.notes
    assert report.to_csv(found).count("\n") == 1


def test_a_broker_that_did_not_answer_is_told_apart_from_one_not_asked() -> None:
    seconds = {"place": np.array([0.02, np.inf, np.nan]), "cancel": np.array([0.01, 0.01, np.inf])}
    ((name, found),) = figures.unanswered({"dhan": seconds}).rows
    assert found is not None
    assert (name, found.count, found.n) == ("dhan", 2, 5)


def test_of_two_cancels_of_a_round_the_probe_s_own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def samples(*_: object, **__: object) -> Samples:
        begin, end = STAGES["acknowledge"]
        row = {"endpoint": "cancel", "probe": "cmp-run-0", "flags": 0, "price_type": "LIMIT", begin: 0}
        rows = [row | {"outcome": "lost", end: None}, row | {"outcome": "acknowledged", end: 5_000_000}]
        return Samples({name: [one[name] for one in rows] for name in rows[0]}, more=False)

    monkeypatch.setattr(collect.reader, "samples", samples)
    where = SimpleNamespace(databases=SimpleNamespace(latency=Path("none")))
    found = collect.probe_stages(where, "run", 1, "acknowledge", 0)  # type: ignore[arg-type]
    assert found["cancel"].tolist() == [math.inf]


def test_every_difference_is_drawn_once() -> None:
    seconds = np.sort(np.random.default_rng(1).normal(0.01, 0.004, 400))
    drawn = svg.differences("x", seconds, None)
    low, high = np.percentile(seconds, [1, 99])
    bars = [float(height) for height in re.findall(r'class="pairs"[^>]*height="([\d.]+)"', drawn)]
    tallest = int(re.findall(r'text-anchor="end">(\d+)</text>', drawn)[1])
    counted = sum(bars) / max(bars) * tallest
    assert counted == pytest.approx(((seconds >= low) & (seconds <= high)).sum(), abs=12)
