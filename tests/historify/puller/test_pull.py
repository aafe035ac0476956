"""The real processes: brokers, apis, puller. The full count: scripts/campaign history_failover."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from historify.errors import StoreDamaged
from historify.jobs.model import Mode
from historify.secretfile import home_secret
from scripts.campaigns import history_failover as campaign
from tests.e2e.fleet import until
from tests.historify.house import House

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("history-house")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(Path(tmp_path_factory.mktemp("house")), ("dhan", "kotak"))
    try:
        one.start()
        yield one
    finally:
        one.close()


def charts(house: House, wish: campaign.Wish) -> None:
    """While one pulls, both instances read; the other's broker is asked for nothing."""
    job = campaign.under_way(house, house.enqueue(wish.request(Mode.ALL)))
    symbol, keys = wish.symbols[0], {name: house.key(name) for name in house.names}
    asked, answers = house.history_calls("kotak"), []
    for source in ("db", "auto"):
        for name, key in keys.items():
            body = {"apikey": key, "symbol": symbol, "exchange": "NSE", "interval": "5m", "source": source,
                    "start_date": str(wish.start), "end_date": str(wish.end)}  # fmt: skip
            status, found = house.ask(name, "/api/v1/history", body)
            assert status == 200, found
            answers.append(found["data"])
    assert len(answers[0]) == 2 * 288
    assert all(each == answers[0] for each in answers)
    assert house.history_calls("kotak") == asked == 0
    assert house.done(job, 30).failed == 0


def mended(house: House, wish: campaign.Wish) -> None:
    """A torn file is an error until it is taken out by the puller that runs, and pulled again."""
    torn = next(house.paths.folder("NSE", wish.symbols[0], "1m").glob("*.parquet"))
    torn.chmod(0o600)
    torn.write_bytes(torn.read_bytes()[:200])
    with pytest.raises(StoreDamaged):
        campaign.compare(house, wish)
    told = json.loads(
        house.fleet.ok("history", "verify", "--symbols", wish.symbols[0], "--repair", "--sim", "--json")
    )
    assert told["counts"]["damaged"] == 1
    for job in told["jobs"]:
        assert house.done(house.job(job), 30).failed == 0
    assert campaign.compare(house, wish) > 8000


def moved(house: House) -> None:
    """A person asks for the standby, for somebody who may not, and for the designated one again."""

    def algo(*words: str) -> dict[str, Any]:
        return json.loads(house.fleet.ok("history", "puller", *words, "--sim", "--json"))

    before = algo()
    assert (before["puller"], before["designated"], before["candidates"]) == (
        "dhan",
        "dhan",
        ["dhan", "kotak"],
    )
    assert before["since"].endswith("+05:30")
    there = algo("kotak")
    assert (there["puller"], there["epoch"]) == ("kotak", before["epoch"] + 1)
    assert there["message"] == f"kotak pulls, epoch {there['epoch']}"
    assert "standing by: dhan (designated)" in house.fleet.ok("history", "puller", "--sim")
    refused = house.fleet.algo("history", "puller", "upstox", "--sim")
    assert refused.returncode != 0
    assert "which may not: kotak, dhan may" in refused.stderr + refused.stdout
    assert algo("dhan")["puller"] == "dhan"


def test_another_container_reaches_an_api_by_the_name_it_was_given(house: House):
    """As `algo export compose` writes it: --allow-host, and the home's secret."""
    port = house.fleet.ports["dhan"]["FLASK_PORT"]
    secret = home_secret(house.home / "db" / "sim" / "run" / "historify.key").reveal()
    path, mine = "/internal/history/capability", {"X-Algo-Historify": secret}
    assert house.ask("dhan", path, Host=f"dhan-api:{port}", **mine)[0] == 200
    assert house.ask("dhan", path, Host=f"elsewhere:{port}", **mine)[1]["code"] == "HOST_NOT_ALLOWED"
    assert house.ask("dhan", path, Host=f"dhan-api:{port}")[0] == 403


def test_a_day_of_the_store(house: House):
    """Pulled from Dhan, killed in the middle, taken over by Kotak in the middle: every bar is the seed's."""
    order = ("dhan", "kotak")
    house.start_puller(*order)
    first = campaign.wish(house, 3, 2)
    after = campaign.killed(house, first, order, 30)
    assert after.source == "dhan"
    assert house.history_calls("kotak") == 0
    assert campaign.compare(house, first) > 8000
    charts(house, first)
    mended(house, first)
    changes = campaign.publishes(house)
    one = campaign.Wish(first.symbols[:1], first.start, first.end)
    assert campaign.pulled(house, one.request(Mode.ALL), 30).rows > 2800
    asked = house.history_calls("dhan")
    assert campaign.pulled(house, first.request(), 30).rows == 0
    assert house.history_calls("dhan") == asked  # nothing is missing: nobody is asked
    assert campaign.publishes(house) == changes
    face = until(lambda: house.paths.face.exists() and house.paths.face, 20, "the face is published")
    with duckdb.connect(str(face), read_only=True) as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM market_data").fetchall()
    assert rows > 8000
    moved(house)

    second = campaign.wish(house, 3, 2, back=2)
    _, took = campaign.failover(house, second, 30)
    assert took < campaign.PROMISED_S
    assert campaign.compare(house, second) > 8000
    ready, health = house.health()
    assert (ready, health["puller"]) == (200, "kotak")
    house.spawn("second", "historify", "--config", str(house.home / "db/sim/run/historify.json"))
    assert house.processes.pop("second").wait(10) == 3  # the port is taken
    assert house.end("historify") == 0


def test_without_a_named_standby_a_job_waits_and_says_so(house: House):
    """Runs after Dhan's session has ended."""
    house.store_name = "alone"
    house.start_puller("dhan", "kotak", standbys=False)
    before = house.history_calls("kotak")
    job = house.enqueue(campaign.wish(house, 1, 1).request())
    until(lambda: "waiting for capability" in house.job(job.id).error, 10, "the job says what it waits for")
    health = house.health()[1]
    assert (health["state"], health["puller"], health["ready"]) == ("waiting for capability", None, True)
    assert "dhan" in health["waiting_for"][0]
    found = house.job(job.id)
    assert (str(found.state), found.rows, house.history_calls("kotak")) == ("queued", 0, before)
    assert house.end("historify") == 0
