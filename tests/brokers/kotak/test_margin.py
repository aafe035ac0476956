"""Kotak's margin check: one call for each order, summed; the shortfall is not taken for the margin."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from brokers import errors as house
from brokers.contract import BrokerContext, BrokerSession, Margin, MarginLeg
from brokers.kotak.mapping import books
from brokers.model import Action, OrderRequest, PriceType, Product
from tests.brokers.kotak.rows import DEMO, OPTION
from tests.brokers.kotak.server import Server, says
from tests.brokers.kotak.test_rest import make

D = Decimal
PATH = "/quick/user/check-margin"
ANSWER = {"ordMrgn": "205.100000", "reqdMrgn": "0.000000", "avlMrgn": "900.0", "stat": "Ok", "stCode": 200}
BUY = MarginLeg(OrderRequest(DEMO.key, Action.BUY, 10, PriceType.LIMIT, Product.MIS, D("1025.50")), DEMO)
WRITE = MarginLeg(
    OrderRequest(OPTION.key, Action.SELL, 65, PriceType.MARKET, Product.NRML), OPTION, D("120.5")
)


def test_each_order_is_asked_for_and_the_sum_has_no_parts(
    server: Server, context: Callable[..., BrokerContext], session: BrokerSession
) -> None:
    server.on(PATH, says(ANSWER), says({**ANSWER, "ordMrgn": "100.05", "reqdMrgn": "7"}))
    assert make(context(), session).margin([BUY, WRITE]) == Margin(D("305.15"))
    share, option = (request.jdata for request in server.asked(PATH))
    wanted = {
        "exSeg": "nse_cm",
        "tok": "90001",
        "prc": "1025.5",
        "prcTp": "L",
        "prod": "MIS",
        "qty": "10",
        "trnsTp": "B",
        "trgPrc": "0",
        "brkName": "KOTAK",
        "brnchId": "ONLINE",
    }
    assert {name: share[name] for name in wanted} == wanted
    assert share["slVal"] is share["tSLTks"] is None
    assert (option["prcTp"], option["prc"], option["trnsTp"]) == ("MKT", "0", "S")


def test_a_stop_market_is_valued_as_the_stop_it_leaves_as(
    server: Server, context: Callable[..., BrokerContext], session: BrokerSession
) -> None:
    server.on(PATH, says(ANSWER))
    stop = OrderRequest(DEMO.key, Action.BUY, 1, PriceType.SL_M, Product.MIS, trigger_price=D(1000))
    make(context(), session).margin([MarginLeg(stop, DEMO)])
    sent = server.asked(PATH)[0].jdata
    assert (sent["prcTp"], sent["prc"], sent["trgPrc"]) == ("SL", "1005", "1000")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"stat": "Ok", "stCode": 200}, house.WireError),
        ({"stat": "Ok", "stCode": 200, "ordMrgn": "n/a"}, house.WireError),
        (
            {"stCode": 100022, "errMsg": "invalid session token", "stat": "error in neo-login-check-api"},
            house.LoginRequired,
        ),
        ({"stat": "Not_Ok", "stCode": 1009, "emsg": "Invalid instrument"}, house.BrokerError),
    ],
    ids=range(4),
)
def test_what_is_not_a_margin_is_an_error_and_no_part_of_a_sum(
    server: Server,
    context: Callable[..., BrokerContext],
    session: BrokerSession,
    answer: dict[str, object],
    kind: type[house.BrokerError],
) -> None:
    server.on(PATH, says(ANSWER), says(answer))
    with pytest.raises(kind):
        make(context(), session).margin([BUY, BUY])


def test_net_is_what_new_orders_may_use() -> None:
    root = {"Net": "19.409999999999997", "CollateralValue": "100", "MarginUsed": "80.59"}
    assert books.funds(root).available_margin == D("19.41")
    assert books.funds({"CollateralValue": "100"}).available_margin is None
