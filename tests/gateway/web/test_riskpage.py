"""Risk limits on the settings page: asked for as a plain form, obeyed by the next order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.gateway.api.rig import Rig, running
from tests.gateway.web.people import OWNER, make_owner, post, sign_in, token

ENV = ("RISK_MAX_ORDER_QUANTITY=50",)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path, env=ENV) as one:
        make_owner(one)
        yield one


@pytest.fixture
def owner(rig: Rig) -> FlaskClient:
    return sign_in(rig)


def save(client: FlaskClient, seen: int = 0, **limits: str) -> Any:
    fields = {name if name == "password" else f"RISK_{name}": text for name, text in limits.items()}
    return post(client, "/settings/risk", {"seen": str(seen), **fields})


def field(page: str, setting: str) -> str:
    found = re.search(rf'name="{setting}" value="([^"]*)"', page)
    assert found is not None, setting
    return found[1]


def test_the_next_order_meets_the_new_limit_and_it_survives_a_restart(tmp_path):
    with running(tmp_path, env=ENV) as one:
        make_owner(one)
        client = sign_in(one)
        assert one.place().status_code == 200
        assert save(client, MAX_ORDER_QUANTITY="4").headers["Location"] == "/settings#risk"
        refused = one.place()
        assert (refused.status_code, refused.json["code"]) == (403, "RISK_LIMIT")
        assert (refused.json["limit"], refused.json["allowed"]) == ("RISK_MAX_ORDER_QUANTITY", "4")
        limits = client.get("/web/api/strategies/overview").json["limits"]
        assert {"name": "Max quantity", "text": "4", "each": False} in limits
    with running(tmp_path, env=ENV) as again:
        assert again.place().json["limit"] == "RISK_MAX_ORDER_QUANTITY"
        page = sign_in(again).get("/settings").get_data(as_text=True)
        assert field(page, "RISK_MAX_ORDER_QUANTITY") == "4"
        assert re.search(r'data-label="Env file">50</td><td data-label="Changed">asha, \d\d', page)


def test_bad_texts_are_named_beside_their_fields_and_nothing_typed_is_lost(rig, owner):
    answer = save(owner, MAX_ORDER_QUANTITY="many", MAX_OPEN_ORDERS="3", SQUARE_OFF='"><b>')
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "Nothing was saved: 2 of the limits" in page
    assert field(page, "RISK_MAX_ORDER_QUANTITY") == "many"
    assert field(page, "RISK_MAX_OPEN_ORDERS") == "3"
    assert 'id="RISK_MAX_ORDER_QUANTITY-error">RISK_MAX_ORDER_QUANTITY is many, expected a whole' in page
    assert page.count('aria-invalid="true"') == 2
    assert '"><b>' not in page
    assert rig.parts.risk.now.max_open_orders is None


def test_what_allows_more_than_the_env_file_needs_the_password(rig, owner):
    asked = save(owner, MAX_ORDER_QUANTITY="500", MAX_OPEN_ORDERS="3")
    page = asked.get_data(as_text=True)
    assert asked.status_code == 200
    assert "RISK_MAX_ORDER_QUANTITY = 500 allows more than the env file (50)." in page
    assert 'name="password"' in page
    assert field(page, "RISK_MAX_OPEN_ORDERS") == "3"
    wrong = save(owner, MAX_ORDER_QUANTITY="500", password="a wrong guess").get_data(as_text=True)
    assert "The password is not right" in wrong
    assert rig.parts.risk.now == rig.parts.risk.env
    assert save(owner, MAX_ORDER_QUANTITY="500", password=OWNER["password"]).status_code == 303
    assert rig.parts.risk.now.max_quantity == 500
    # what was confirmed once is not asked again with the next change
    assert save(owner, rig.parts.risk.seen, MAX_ORDER_QUANTITY="500", MAX_OPEN_ORDERS="3").status_code == 303


def test_guessing_the_password_is_slow(tmp_path):
    with running(tmp_path, env=ENV) as one:
        make_owner(one)
        client = sign_in(one)
        asked: list[str] = []

        def hit(limit: str, endpoint: str, who: str) -> float | None:
            asked.append(limit)
            return 30.0 if limit == "LOGIN_RATE_LIMIT" else None

        one.parts.limits.hit = hit  # type: ignore[method-assign]
        answer = save(client, MAX_ORDER_QUANTITY="500", password=OWNER["password"])
        assert (answer.status_code, "LOGIN_RATE_LIMIT" in asked) == (429, True)
        assert one.parts.risk.now.max_quantity == 50


def test_a_page_that_was_left_open_changes_nothing(rig, owner):
    save(owner, MAX_ORDER_QUANTITY="4")
    for seen in ("0", "", "x", "9" * 30):
        left = post(owner, "/settings/risk", {"seen": seen, "RISK_MAX_ORDER_QUANTITY": "40"})
        assert "Somebody changed the limits since" in left.get_data(as_text=True)
    assert field(left.get_data(as_text=True), "RISK_MAX_ORDER_QUANTITY") == "40"
    assert rig.parts.risk.now.max_quantity == 4


def test_a_limit_goes_back_to_the_env_file(rig, owner):
    save(owner, MAX_ORDER_QUANTITY="4", MAX_OPEN_ORDERS="3")
    assert post(owner, "/settings/risk/reset", {"setting": "RISK_MAX_ORDER_QUANTITY"}).status_code == 303
    assert (rig.parts.risk.now.max_quantity, rig.parts.risk.now.max_open_orders) == (50, 3)
    page = owner.get("/settings").get_data(as_text=True)
    assert "<code>RISK_MAX_ORDER_QUANTITY</code> 4 → the env file&#39;s" in page
    assert post(owner, "/settings/risk/reset", {"setting": "nonsense"}).status_code == 303


def test_nobody_else_changes_them(rig, owner):
    stranger = rig.app.test_client()
    assert save(stranger, MAX_ORDER_QUANTITY="4").headers["Location"] == "/sign-in"
    forged = owner.post("/settings/risk", data={"seen": "0", "RISK_MAX_ORDER_QUANTITY": "4"})
    assert forged.status_code == 403
    reset = owner.post("/settings/risk/reset", data={"setting": "RISK_MAX_ORDER_QUANTITY"})
    assert reset.status_code == 403
    assert rig.parts.risk.now == rig.parts.risk.env
    assert token(owner, "/settings")
