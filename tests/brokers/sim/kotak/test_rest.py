"""Kotak's REST through a real server, in every path family."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from brokers.sim.kotak.names import segment, trading_symbol
from brokers.sim.kotak.rest import PATHS
from tests.brokers.sim.kotak.harness import PLAIN, Sim, in_sim, order

CURRENT = {name: paths[0] for (_, name), paths in PATHS.items()}


def away(sim: Sim, share: float = 0.97) -> str:
    """A buying price of SBIN that rests."""
    return f"{round(sim.ltp('NSE', 'SBIN') * share * 20) / 20:.2f}"


async def place(sim: Sim, **changes: Any) -> str:
    changes = {"pr": away(sim)} | changes
    status, answer = await sim.post(CURRENT["place"], order(**changes))
    assert (status, answer["stat"], answer["stCode"]) == (200, "Ok", 200), answer
    sim.tick()
    return answer["nOrdNo"]


async def row(sim: Sim, order_id: str) -> dict[str, Any]:
    status, answer = await sim.get(f"{CURRENT['orders']}/{order_id}")
    assert (status, answer["stat"]) == (200, "Ok"), answer
    return answer["data"][0]


def family(name: str, index: int) -> str:
    return next(paths[index] for (_, handler), paths in PATHS.items() if handler == name)


@pytest.mark.parametrize("index", [0, 1, 2], ids=["current", "apim", "v1"])
@in_sim
async def test_an_order_lives_in_every_path_family(sim: Sim, index: int):
    await sim.login()
    _, answer = await sim.post(family("place", index) + "?sId=None", order(pr=away(sim), ig="my tag+1"))
    order_id = answer["nOrdNo"]
    assert order_id == "261120000000001"
    sim.tick()
    _, book = await sim.get(family("orders", index) + "?sId=server2")
    assert book["stat"] == "Ok"
    assert (book["data"][0]["ordSt"], book["data"][0]["GuiOrdId"]) == ("open", "my tag+1")
    change = {"no": order_id, "pr": away(sim, 0.96), "pt": "L", "qt": "2", "tp": "0", "dq": "0", "vd": "DAY",
              "mp": "0", "am": "NO", "os": "NEOTRADEAPI"}  # fmt: skip
    _, answer = await sim.post(family("modify", index), change)
    assert answer == {"nOrdNo": order_id, "stat": "Ok", "stCode": 200}
    sim.tick()
    changed = await row(sim, order_id)
    assert (changed["qty"], changed["prc"], changed["GuiOrdId"]) == (2, change["pr"], "my tag+1-ADMINAPI")
    _, answer = await sim.post(family("cancel", index), {"on": order_id, "am": "NO"})
    assert answer["stat"] == "Ok"
    _, answer = await sim.post(family("history", index), {"nOrdNo": order_id})
    words = [r["ordSt"] for r in answer["data"]]
    assert words[:2] == ["cancelled", "cancel pending"]
    assert words[-4:] == ["open", "open pending", "validation pending", "put order req received"]


@in_sim
async def test_the_order_is_not_open_before_the_exchange_accepts_it(sim: Sim):
    await sim.login()
    _, answer = await sim.post(CURRENT["place"], order(pr=away(sim)))
    assert (await row(sim, answer["nOrdNo"]))["ordSt"] == "validation pending"
    _, refusal = await sim.post(CURRENT["cancel"], {"on": answer["nOrdNo"], "am": "NO"})
    assert refusal["stat"] == "Not_Ok"
    sim.tick()
    assert (await row(sim, answer["nOrdNo"]))["ordSt"] == "open"


@in_sim
async def test_v2_nulls_are_ignored(sim: Sim):
    await sim.login()
    nulls = dict.fromkeys(["tk", "sot", "slt", "slv", "sov", "lat", "tlt", "tsv", "ig"])
    order_id = await place(sim, **nulls, pf="N", os="NEOFINTECH001")
    found = await row(sim, order_id)
    assert (found["GuiOrdId"], found["ordSrc"]) == ("", "ADMINCPPAPI_NEOFINTECH001")


@in_sim
async def test_a_market_order_is_a_protected_limit_that_fills(sim: Sim):
    await sim.login()
    ltp = sim.ltp("NSE", "SBIN")
    order_id = await place(sim, pt="MKT", pr="0", qt="5")
    found = await row(sim, order_id)
    assert (found["prcTp"], found["ordSt"], found["fldQty"]) == ("L", "complete", 5)
    assert 0 < float(found["prc"]) - ltp <= ltp * 0.005
    assert 0 < float(found["avgPrc"]) <= float(found["prc"])
    _, trades = await sim.get(CURRENT["trades"])
    assert trades["stat"] == "ok"
    assert {(t["nOrdNo"], t["tok"], t["qty"]) for t in trades["data"]} == {(order_id, "", 0)}
    assert sum(t["fldQty"] for t in trades["data"]) == 5
    _, positions = await sim.get(CURRENT["positions"])
    (held,) = positions["data"]
    assert (positions["stat"], held["trdSym"], held["flBuyQty"], held["tok"]) == (
        "ok",
        "SBIN-EQ",
        "5",
        "3045",
    )
    assert Decimal(held["buyAmt"]) == round(Decimal(found["avgPrc"]) * 5, 2)
    assert "ltp" not in held
    _, priced = await sim.get(CURRENT["positions_with_price"])
    assert float(priced["data"][0]["ltp"]) == sim.ltp("NSE", "SBIN")


@in_sim
async def test_a_late_rejection_is_ok_first(sim: Sim):
    await sim.login()
    order_id = await place(sim, pr=away(sim), qt="50000", pc="CNC")
    found = await row(sim, order_id)
    assert found["ordSt"] == "rejected"
    assert found["rejRsn"].startswith("RMS:")


@in_sim
async def test_empty_books_answer_5203(sim: Sim):
    await sim.login()
    for name in ("orders", "trades", "positions", "positions_with_price"):
        status, answer = await sim.get(CURRENT[name])
        assert (status, answer["stat"], answer["stCode"]) == (200, "Not_Ok", 5203), name


@in_sim
async def test_holdings_limits_and_margin(sim: Sim):
    await sim.login()
    for path in (CURRENT["holdings"], "apim/portfolio/2.0/portfolio/v1/holdings"):
        _, holdings = await sim.get(path)
        assert holdings["data"]
        assert holdings.keys() == {"data"}
    _, limits = await sim.post(CURRENT["limits"], {"seg": "ALL", "exch": "ALL", "prod": "ALL"})
    assert (limits["stat"], limits["stCode"]) == ("Ok", 200)
    assert float(limits["Net"]) > 0
    _, refused = await sim.post(CURRENT["limits"], {"seg": "NOPE"})
    assert refused["stat"] == "Not_Ok"
    query = {"exSeg": "nse_cm", "tok": "3045", "prc": "900", "prcTp": "L", "prod": "CNC", "qty": "10",
             "trnsTp": "B", "trgPrc": "0", "brkName": "KOTAK", "brnchId": "X", "slVal": None}  # fmt: skip
    _, margin = await sim.post(CURRENT["margin"], query)
    assert (margin["stat"], margin["reqdMrgn"]) == ("Ok", "0.000000")
    assert float(margin["ordMrgn"]) >= 9000
    _, unknown = await sim.post(CURRENT["margin"], query | {"tok": "999999999"})
    assert unknown["stCode"] == 1009


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pr": "0.0", "pt": "MKT"}, 1007),
        ({"pt": "SL-M", "tp": "900"}, 1017),
        ({"ts": "NOSUCH-EQ"}, 1009),
        ({"ts": "NIFTY"}, 1009),
        ({"es": "nope"}, 1007),
        ({"qt": 1}, 1007),
        ({"es": "nse_fo", "ts": "SBIN26NOVFUT", "pc": "NRML", "qt": "7"}, 1007),
    ],
)
@in_sim
async def test_refused_before_an_order_exists(sim: Sim, change: dict[str, Any], code: int):
    await sim.login()
    status, answer = await sim.post(CURRENT["place"], order(**({"pr": away(sim)} | change)))
    assert (status, answer["stat"], answer["stCode"]) == (200, "Not_Ok", code), answer
    sim.tick()
    assert (await sim.get(CURRENT["orders"]))[1]["stCode"] == 5203


@in_sim
async def test_malformed_bodies_are_refused(sim: Sim):
    await sim.login()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{sim.base}/{CURRENT['place']}"
    for body in ("", "jData=", "jData=[1]", "jData=%7Bnot", "other={}"):
        async with sim.http.post(url, data=body, headers=sim.auth | form) as response:
            assert (await response.json())["stCode"] == 5202, body
        sim.tick()
    async with sim.http.post(url, json=order(), headers=sim.auth) as response:
        assert (await response.json())["stCode"] == 5202


@in_sim
async def test_finished_and_unknown_orders(sim: Sim):
    await sim.login()
    filled = await place(sim, pt="MKT", pr="0")
    resting = await place(sim)
    await sim.post(CURRENT["cancel"], {"on": resting, "am": "NO"})
    sim.tick()
    change = order(no=filled, pr=away(sim), vd="DAY")
    for path, body in ((CURRENT["modify"], change), (CURRENT["cancel"], {"on": filled, "am": "NO"})):
        _, answer = await sim.post(path, body)
        assert answer == {
            "stCode": 1021,
            "errMsg": "order is completed",
            "stat": "please provide valid order number",
        }
    _, answer = await sim.post(CURRENT["cancel"], {"on": resting, "am": "NO"})
    assert (answer["stCode"], answer["stat"]) == (1006, "Not_Ok")
    _, answer = await sim.post(CURRENT["cancel"], {"on": "261120999999999", "am": "NO"})
    assert (answer["stCode"], answer["stat"]) == (5204, "Not_Ok")
    _, answer = await sim.post(CURRENT["cancel"], {"am": "NO"})
    assert answer["stCode"] == 1007


@in_sim
async def test_accounts_do_not_see_each_other(sim: Sim):
    await sim.login("ABCDE")
    order_id = await place(sim)
    await sim.login("OTHER")
    assert (await sim.get(CURRENT["orders"]))[1]["stCode"] == 5203
    assert (await sim.post(CURRENT["cancel"], {"on": order_id, "am": "NO"}))[1]["stCode"] == 5204


@in_sim
async def test_sessions_on_trading_calls(sim: Sim):
    view = await sim.view()
    pair = {"Sid": view["sid"], "Auth": view["token"]}
    for path in (CURRENT["orders"], CURRENT["positions_with_price"]):
        status, answer = await sim.get(path, pair)
        assert (status, answer) == (
            200,
            {"stCode": 100021, "errMsg": "invalid  access type", "stat": "Not_Ok"},
        )
    await sim.login()
    status, answer = await sim.get(CURRENT["orders"], sim.auth | {"Sid": view["sid"]})
    assert (status, answer["stCode"], answer["errMsg"]) == (200, 100022, "invalid session token")
    status, answer = await sim.get(CURRENT["orders"], {"Sid": "x"})
    assert (status, answer["error"][0]["code"]) == (400, "10512")
    status, answer = await sim.get(CURRENT["orders"], sim.auth | {"Authorization": "Bearer wrong"})
    assert (status, answer["code"]) == (401, "900901")
    status, _ = await sim.get(
        CURRENT["orders"], sim.auth | {"Authorization": f"Bearer {PLAIN['Authorization']}"}
    )
    assert status == 200
    sim.tick(13 * 3600)  # past midnight in India
    status, answer = await sim.get(CURRENT["orders"])
    assert (status, answer["stCode"], answer["stat"]) == (403, 100022, "Not_Ok")
    status, answer = await sim.post(CURRENT["margin"], {})
    assert (status, answer["stat"]) == (403, "error in neo-login-check-api")


@in_sim
async def test_ten_orders_a_second_then_429(sim: Sim):
    await sim.login()
    statuses = [(await sim.post(CURRENT["cancel"], {"on": "1", "am": "NO"}))[0] for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    status, answer = await sim.post(CURRENT["place"], order(pr="900"))
    assert status == 429
    assert answer == {"code": 429, "error": "Rate limit exceeded", "message": "too many request received"}
    assert (await sim.get(CURRENT["orders"]))[0] == 200
    sim.clock.advance(1)
    assert (await sim.post(CURRENT["cancel"], {"on": "1", "am": "NO"}))[0] == 200


@in_sim
async def test_reads_do_not_use_up_the_orders_window(sim: Sim):
    await sim.login()
    for _ in range(12):
        await sim.get(CURRENT["orders"])
    assert (await sim.post(CURRENT["cancel"], {"on": "1", "am": "NO"}))[0] == 200


@in_sim
async def test_twenty_five_reads_a_second_per_api_and_account(sim: Sim):
    await sim.login()
    statuses = [(await sim.get(CURRENT["orders"]))[0] for _ in range(26)]
    assert statuses == [200] * 25 + [429]
    assert (await sim.get(CURRENT["trades"]))[0] == 200
    await sim.login("OTHER")
    assert (await sim.get(CURRENT["orders"]))[0] == 200


@in_sim
async def test_a_new_day_s_contracts_can_be_traded(sim: Sim):
    before = {x.symbol for x in sim.server.exchange.universe.listings}
    await sim.get("script-details/1.0/quotes/neosymbol/nse_cm|3045/ltp", PLAIN)  # names of the first day
    sim.tick(5 * 86_400)
    await sim.login()
    fresh = next(
        x for x in sim.server.exchange.universe.listings if x.symbol not in before and x.kind.value == "CE"
    )
    body = order(es="nse_fo", ts=trading_symbol(fresh), pc="NRML", qt=str(fresh.lot_size), pr="0", pt="MKT")
    status, answer = await sim.post(CURRENT["place"], body | {"es": segment(fresh)})
    assert (status, answer["stat"]) == (200, "Ok"), answer
    assert answer["nOrdNo"].startswith("261125")


@in_sim
async def test_another_data_centre_answers_200032(sim: Sim):
    await sim.login()
    assert (await sim.post_json("_sim/kotak", {"wrong_base_url": True}, {}))[0] == 200
    assert (await sim.get(CURRENT["orders"]))[1]["stCode"] == 200032
    status, answer = await sim.post_json("_sim/kotak", {"nonsense": 1}, {})
    assert status == 400
    assert "nonsense" in answer["message"]


@in_sim
async def test_expire_and_issue(sim: Sim):
    await sim.login()
    sim.server.venue.expire("ABCDE")
    assert (await sim.get(CURRENT["orders"]))[1]["stCode"] == 100022
    data = sim.server.venue.issue("ABCDE")
    sim.auth = {"Sid": str(data["sid"]), "Auth": str(data["token"])}
    assert (await sim.get(CURRENT["orders"]))[1]["stCode"] == 5203
    assert data["baseUrl"] == sim.base
