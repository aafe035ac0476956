"""What the other processes of the instance may ask, and health."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from brokers.errors import BrokerDown, OrderRejected, OutcomeUnknown
from brokers.model import OrderStatus, OrderUpdate
from tests.gateway.api.rig import Rig, foreign_order, position, running
from tests.gateway.test_metrics import read


def health(rig: Rig, path: str):
    return rig.app.test_client().get(f"/health/{path}")


def test_a_live_process_says_who_it_is(rig):
    body = health(rig, "live").json
    assert (body["status"], body["instance"], body["venue"]) == ("ok", "dhan", "sim")
    assert isinstance(body["pid"], int)


def test_ready_once_session_instruments_and_books_are(rig):
    answer = health(rig, "ready")
    assert answer.status_code == 200
    body = answer.json
    assert body["ready"] is True
    assert body["waiting_for"] == []
    assert body["broker_session"]["state"] == "valid"
    assert body["broker_session"]["account"] == "1100000001"
    assert body["instruments"]["rows"] == len(rig.source.rows)
    assert body["instruments"]["state"] == "ok"


def test_not_ready_says_what_it_waits_for(tmp_path: Path):
    with running(tmp_path, logged_in=False, loaded=False, reconciled=False) as rig:
        answer = health(rig, "ready")
        assert answer.status_code == 503
        kinds = [text.split(":")[0] for text in answer.json["waiting_for"]]
        assert kinds == ["broker session", "instruments", "orders"]


def test_keys_are_made_listed_and_revoked(rig):
    made = rig.internal("POST", "keys", {"label": "bot"}).json
    assert rig.post("ping", apikey=made["key"]).status_code == 200
    rows = rig.internal("GET", "keys").json["keys"]
    assert [row["label"] for row in rows] == ["test", "bot"]
    assert made["key"] not in str(rows)
    assert rig.internal("DELETE", f"keys/{made['id']}").status_code == 200
    assert rig.internal("DELETE", f"keys/{made['id']}").status_code == 404
    assert rig.internal("POST", "keys", {}).status_code == 400


def test_renewal_hands_out_a_newer_generation_or_says_login(rig):
    first = rig.parts.session.status().generation
    answer = rig.internal("POST", "session/renew", {"failed_generation": first})
    assert (answer.status_code, answer.json) == (200, {"generation": first + 1})
    again = rig.internal("POST", "session/renew", {"failed_generation": first})
    assert again.json == {"generation": first + 1}, "already newer: no second login"
    rig.auth.refuse = True
    refused = rig.internal("POST", "session/renew", {"failed_generation": first + 1})
    assert refused.status_code == 401
    assert "message" in refused.json
    assert rig.internal("POST", "session/renew", {}).status_code == 400


def test_login_passes_the_typed_code_on(rig):
    answer = rig.internal("POST", "login", {"totp": "123456"})
    assert answer.json["account"] == "1100000001"
    assert rig.auth.codes[-1] == "123456"
    assert rig.internal("POST", "login", {"totp": "12"}).status_code == 400
    rig.auth.refuse = True
    refused = rig.internal("POST", "login", {"totp": None})
    assert (refused.status_code, refused.json["code"]) == (403, "AUTH_EXPIRED")


def test_sync_reports_counts_and_what_was_left_out(rig):
    rig.source.rows = [r for r in rig.source.rows if r.key.symbol != "M&M"]
    body = rig.internal("POST", "instruments/sync").json
    assert (body["total"], body["added"], body["skipped"]) == (len(rig.source.rows), 0, {"no lot size": 2})
    rig.source.fail = [BrokerDown("no answer")]
    failed = rig.internal("POST", "instruments/sync")
    assert (failed.status_code, failed.json["code"]) == (503, "BROKER_DISCONNECTED")
    assert rig.internal("GET", "status").json["sync_error"] == "no answer"


def test_an_order_update_of_the_feed_reaches_the_desk(rig):
    order_id = rig.place().json["orderid"]
    filled = foreign_order(
        order_id,
        status=OrderStatus.COMPLETE,
        filled_quantity=5,
        quantity=5,
        average_price=Decimal("800.05"),
        tag=rig.rest.placed[0][1],
    )
    rig.rest.book[order_id] = filled
    seen: list[OrderUpdate] = []
    object.__setattr__(rig.parts, "on_update", seen.append)
    update = OrderUpdate(filled, seen_ns=int(datetime.now(UTC).timestamp() * 1e9))
    answer = rig.internal("POST", "order-update", msgspec.to_builtins([update], str_keys=True))
    assert answer.status_code == 204, answer.get_data()
    assert seen[0].order == filled
    assert rig.post("orderstatus", orderid=order_id).json["data"]["order_status"] == "complete"


def test_a_malformed_order_update_is_a_400(rig):
    assert rig.internal("POST", "order-update", [{"x": 1}]).status_code == 400


def test_the_feed_learns_which_symbols_matter(rig):
    tcs = next(row.key for row in rig.source.rows if row.key.symbol == "TCS")
    rig.rest.position_rows = [position(tcs, 5)]
    rig.place()
    body = rig.internal("GET", "positions-and-orders").json
    assert body["keys"] == [{"exchange": "NSE", "symbol": "SBIN"}, {"exchange": "NSE", "symbol": "TCS"}]
    # apart too: positions go before working orders where the feed's slots are short
    assert [k["symbol"] for k in body["positions"]] == ["TCS"]
    assert [k["symbol"] for k in body["orders"]] == ["SBIN"]


def test_panic_cancels_and_blocks_until_resumed(rig):
    order_id = rig.place().json["orderid"]
    body = rig.internal("POST", "panic").json
    assert body["cancelled"] == [order_id]
    blocked = rig.place()
    assert (blocked.status_code, blocked.json["code"]) == (403, "ENTRIES_BLOCKED")
    assert rig.internal("GET", "status").json["desk"]["blocked"]
    assert rig.internal("POST", "resume").status_code == 200
    assert rig.place().status_code == 200


def test_unknown_orders_are_listed_and_todays_are_not_ended_by_hand(rig):
    rig.rest.fail["place"] = [OutcomeUnknown("lost")]
    rig.rest.fail["find_tag"] = [BrokerDown("x") for _ in range(99)]
    journal_id = rig.place().json["journal_id"]
    rows = rig.internal("GET", "orders/unknown").json["orders"]
    assert [(row["journal_id"], row["status"], row["needs_a_person"]) for row in rows] == [
        (journal_id, "unknown", False)
    ]
    assert [row["journal_id"] for row in rig.internal("GET", "orders").json["orders"]] == [journal_id]
    ended = {"outcome": "never_reached", "evidence": "order book of today"}
    told = rig.internal("POST", f"orders/{journal_id}/resolve", ended)
    assert (told.status_code, told.json["code"]) == (400, "ORDER_NOT_OPEN")
    assert rig.internal("POST", f"orders/{journal_id}/resolve", {"outcome": "lost"}).status_code == 400
    assert rig.internal("POST", "orders/999/resolve", ended).status_code == 404
    # the public key is not enough
    client = rig.app.test_client()
    assert client.post(f"/internal/orders/{journal_id}/resolve", json=ended).status_code == 403


def test_status_has_no_secret(rig):
    text = rig.internal("GET", "status").get_data(as_text=True)
    assert "a-broker-token-of-the-test" not in text
    assert rig.key not in text


def test_metrics_count_orders_by_outcome_and_what_the_limiter_did(rig):
    rig.place()
    rig.rest.fail["place"] = [OrderRejected("no funds")]
    rig.place()
    answer = rig.app.test_client().get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    found = read(answer.text)
    assert found["algo_orders_today", (("state", "open"),)] == 1
    assert found["algo_orders_today", (("state", "rejected"),)] == 1
    assert found["algo_order_events_total", (("kind", "acknowledged"),)] == 1
    assert found["algo_limiter_granted_total", (("lane", "entry"),)] == 2
    assert found["algo_orders_unknown", ()] == 0
    assert found["algo_broker_session_valid", ()] == 1
    # the journal is asked for what is new only
    assert (
        read(rig.app.test_client().get("/metrics").text)["algo_order_events_total", (("kind", "intent"),)]
        == 2
    )
    foreign = rig.app.test_client().get("/metrics", headers={"Host": "evil.example"})
    assert foreign.status_code == 403
