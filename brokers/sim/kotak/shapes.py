"""Kotak's answers as dictionaries: field names, types and case exactly as on the wire.

Prices are strings with the segment's decimals, quantities integers in the order book and strings in
positions; ``stat`` is ``Ok`` or ``ok`` by endpoint. Times are IST wall clock.

Source: Kotak Neo documentation samples and client models (order book, history, trades, positions, holdings,
limits, margin).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from brokers.clock import IST
from brokers.sim.exchange.types import (
    Kind,
    Listing,
    Side,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Type,
)
from brokers.sim.kotak.names import (
    decimals,
    segment,
    trading_symbol,
)
from brokers.sim.kotak.policy import Word

Row = dict[str, Any]

_TYPE_WORD = {Type.LIMIT: "L", Type.MARKET: "MKT", Type.STOP_LIMIT: "SL", Type.STOP_MARKET: "SL-M"}
_EXCHANGE_WORD = {"nse_cm": "NSE", "bse_cm": "BSE", "nse_fo": "NFO", "bse_fo": "BFO", "cde_fo": "CDS"}


def stamp(at: datetime | None) -> str:
    """``22-Jan-2025 14:28:01``; ``--`` for what has not happened."""
    return "--" if at is None else f"{at.astimezone(IST):%d-%b-%Y %H:%M:%S}"


def slashed(at: datetime) -> str:
    """``2025/01/22 14:28:01``, the form of ``hsUpTm``."""
    return f"{at.astimezone(IST):%Y/%m/%d %H:%M:%S}"


def price(listing: Listing, rupees: Decimal) -> str:
    return f"{rupees:.{decimals(listing)}f}"


def side_word(side: Side) -> str:
    return "B" if side is Side.BUY else "S"


def option_word(listing: Listing) -> str:
    if listing.kind in (Kind.CALL, Kind.PUT):
        return listing.kind.value
    return "XX" if listing.kind is Kind.FUTURE else "- "


def expiry_word(listing: Listing, none: str = "NA") -> str:
    return f"{listing.expiry:%d %b, %Y}" if listing.expiry else none


def placed(order_id: str) -> Row:
    """Reply to place, modify and cancel: received, not accepted."""
    return {"nOrdNo": order_id, "stat": "Ok", "stCode": 200}


def book(rows: Sequence[Row]) -> Row:
    return {"stat": "Ok", "stCode": 200, "data": list(rows)}


def lower_book(rows: Sequence[Row]) -> Row:
    """Trades and positions: ``stat`` in lower case."""
    return {"stat": "ok", "stCode": 200, "data": list(rows)}


def _contract(listing: Listing) -> Row:
    """Contract maths every book repeats."""
    return {
        "lotSz": str(listing.lot_size),
        "multiplier": "1",
        "precision": str(decimals(listing)),
        "genNum": "1",
        "genDen": "1",
        "prcNum": "1",
        "prcDen": "1",
    }


def feed_row(order: SimOrder, word: Word, *, received_ns: int, account: str) -> Row:
    """``data`` of an order-feed frame; the order book's row is this and more.

    Args:
        received_ns: ``updRecvTm``, epoch nanoseconds, strictly growing over the frames of a process.
    """
    new, listing, at = order.new, order.new.listing, order.updated_at
    seconds = int(at.timestamp())
    return {
        "nOrdNo": order.order_id,
        "ordSt": word.value,
        "sym": listing.root,
        "trdSym": trading_symbol(listing),
        "tok": str(listing.token),
        "exSeg": segment(listing),
        "trnsTp": side_word(new.side),
        "prcTp": _TYPE_WORD[new.type],
        "prod": new.product,
        "prc": price(listing, new.price),
        "trgPrc": price(listing, new.trigger),
        "avgPrc": price(listing, order.average),
        "qty": new.quantity,
        "fldQty": order.filled,
        "unFldSz": order.remaining,
        "dscQty": new.disclosed,
        "vldt": new.validity,
        "rejRsn": f"RMS:{order.reason}" if word is Word.REJECTED and order.reason else "--",
        "exOrdId": order.exchange_order_id or "NA",
        "ordDtTm": stamp(at),
        "exCfmTm": stamp(order.accepted_at),
        "hsUpTm": slashed(at),
        "boeSec": seconds,
        "uSec": str(seconds),
        "updRecvTm": received_ns,
        "ordGenTp": "NA",
        "ordSrc": f"ADMINCPPAPI_{new.extra.get('os', 'NEOTRADEAPI')}",
        "ordValDt": "NA",
        "optTp": option_word(listing),
        "stkPrc": price(listing, Decimal(listing.strike_paise) / 100),
        "expDt": expiry_word(listing),
        "series": "EQ" if listing.kind is Kind.EQUITY else "XX",
        "brdLtQty": str(listing.lot_size),
        **_contract(listing),
        "mktPro": "0",
        "mfdBy": "NA",
        "reqId": "1",
        "symOrdId": "NA",
        "strategyCode": "NA",
        "GuiOrdId": order.tag,
        "usrId": account,
        "actId": account,
        "it": "EQ" if listing.kind is Kind.EQUITY else "DR",
    }


def order_row(order: SimOrder, word: Word, *, received_ns: int) -> Row:
    """One row of the order book: status under both ``ordSt`` and ``stat``."""
    listing = order.new.listing
    row = feed_row(order, word, received_ns=received_ns, account=order.new.account)
    return row | {
        "stat": word.value,
        "ordEntTm": stamp(order.created_at),
        "cnlQty": order.remaining if word is Word.CANCELLED else 0,
        "minQty": 0,
        "refLmtPrc": 0,
        "coPct": 0,
        "tckSz": f"{Decimal(listing.tick_paise) / 100:.4f}",
        "expDtSsb": "--",
        "mktProPct": "--",
        "mktProFlg": "0",
        "noMktProFlg": "0",
        "defMktProV": "0",
        "dscQtyPct": "0",
        "brkClnt": "08081",
        "locId": "111111111111100",
        "appInstlId": "NA",
        "classification": "0",
        "vendorCode": "",
        "ordModNo": str(order.modifications),
        "ordAutSt": "NA",
        "odCrt": "NA",
        "rptTp": "NA",
        "sipInd": "NA",
        "rmk": "--",
        "exUsrInfo": "NA",
        "algId": "NA",
        "algCat": "NA",
        "algSeqNo": "NA",
    }


def history_row(order: SimOrder, word: Word) -> Row:
    """One row of an order's history: the order book's names with the differences of that endpoint."""
    new, listing, at = order.new, order.new.listing, order.updated_at
    accepted = order.accepted_at
    exchange_time = f"{accepted.astimezone(IST):%d-%b-%Y %H: %M: %S}" if accepted else "--"  # their blanks
    return {
        "nOrdNo": order.order_id,
        "ordSt": word.value,
        "stat": word.value,
        "exch": _EXCHANGE_WORD.get(segment(listing), "MCX"),
        "exSeg": segment(listing),
        "trdSym": trading_symbol(listing),
        "sym": listing.root,
        "scripName": listing.name,
        "tok": str(listing.token),
        "trnsTp": side_word(new.side),
        "prcTp": _TYPE_WORD[new.type],
        "prod": new.product,
        "prc": price(listing, new.price),
        "trgPrc": price(listing, new.trigger),
        "avgPrc": price(listing, order.average),
        "qty": new.quantity,
        "fldQty": order.filled,
        "unFldSz": order.remaining,
        "dclQty": new.disclosed,
        "ordDur": new.validity,
        "rejRsn": f"RMS:{order.reason}" if word is Word.REJECTED and order.reason else "--",
        "exchOrdId": order.exchange_order_id or "--",
        "exchTmstp": exchange_time,
        "nReqId": "1",
        "flDtTm": stamp(at) if order.filled else "--",
        "legOrdInd": "",
        "ordUsrMsg": "NA",
        "cstFrm": "C",
        "ordSrc": f"ADMINCPPAPI_{new.extra.get('os', 'NEOTRADEAPI')}",
        "GuiOrdId": order.tag,
        "lotSz": str(listing.lot_size),
        "optTp": option_word(listing),
        "expDt": expiry_word(listing),
        "stkPrc": price(listing, Decimal(listing.strike_paise) / 100),
        "uSec": str(int(at.timestamp() * 1000)),
        "hsUpTm": slashed(at),
        "actId": new.account,
    }


def trade_row(trade: SimTrade, order: SimOrder | None, *, received_ns: int) -> Row:
    """One fill. ``tok``, ``prc`` and ``tm`` are empty and ``qty`` is 0, as the broker sends them."""
    listing, at = trade.listing, trade.at.astimezone(IST)
    return {
        "nOrdNo": trade.order_id,
        "exOrdId": order.exchange_order_id if order else "NA",
        "trdSym": trading_symbol(listing),
        "sym": listing.root,
        "tok": "",
        "exSeg": segment(listing),
        "series": "EQ" if listing.kind is Kind.EQUITY else "XX",
        "trnsTp": side_word(trade.side),
        "prcTp": _TYPE_WORD[order.new.type] if order else "L",
        "prod": trade.product,
        "prc": "",
        "avgPrc": price(listing, trade.price),
        "qty": 0,
        "fldQty": trade.quantity,
        "flId": trade.trade_id,
        "flLeg": 1,
        "flDt": f"{at:%d-%b-%Y}",
        "flTm": f"{at:%H:%M:%S}",
        "tm": "",
        "exTm": stamp(trade.at),
        "hsUpTm": slashed(trade.at),
        "boeSec": int(trade.at.timestamp()),
        "updRecvTm": received_ns,
        **_contract(listing),
        "brdLtQty": listing.lot_size,
        "ordDur": order.new.validity if order else "DAY",
        "optTp": option_word(listing),
        "expDt": expiry_word(listing),
        "stkPrc": price(listing, Decimal(listing.strike_paise) / 100),
        "rptTp": "fill",
        "GuiOrdId": order.tag if order else "",
        "actId": trade.account,
        "usrId": trade.account,
    }


def position_row(position: SimPosition, instrument_type: str, *, at: datetime, received_ns: int) -> Row:
    """One position; every number is a string except ``brdLtQty`` and ``updRecvTm``."""
    listing = position.listing
    expires = datetime.combine(listing.expiry, time(0), UTC) if listing.expiry else None
    return {
        "trdSym": trading_symbol(listing),
        "sym": listing.root,
        "tok": str(listing.token),
        "exSeg": segment(listing),
        "prod": position.product,
        "series": "EQ" if listing.kind is Kind.EQUITY else "XX",
        "type": instrument_type,
        "optTp": option_word(listing),
        "stkPrc": price(listing, Decimal(listing.strike_paise) / 100),
        "expDt": expiry_word(listing),
        "exp": str(int(expires.timestamp())) if expires else "",
        "buyAmt": f"{position.buy_value:.2f}",
        "sellAmt": f"{position.sell_value:.2f}",
        "cfBuyAmt": f"{position.carry_buy_value:.2f}",
        "cfSellAmt": f"{position.carry_sell_value:.2f}",
        "flBuyQty": str(position.buy_qty),
        "flSellQty": str(position.sell_qty),
        "cfBuyQty": str(position.carry_buy_qty),
        "cfSellQty": str(position.carry_sell_qty),
        **_contract(listing),
        "brdLtQty": listing.lot_size,
        "sqrFlg": "Y",
        "posFlg": "true",
        "upldPrc": "0.00",
        "hsUpTm": slashed(at),
        "updRecvTm": received_ns,
    }


def position_feed_row(position: SimPosition, account: str, *, at: datetime) -> Row:
    """``data`` of a position frame on the order feed."""
    return {
        "actId": account,
        "sym": position.listing.root,
        "exSeg": segment(position.listing),
        "prod": position.product,
        "flBuyQty": str(position.buy_qty),
        "flSellQty": str(position.sell_qty),
        "buyAmt": f"{position.buy_value:.2f}",
        "sellAmt": f"{position.sell_value:.2f}",
        "posFlg": "true",
        "sqrFlg": "Y",
        "lotSz": str(position.listing.lot_size),
        "multiplier": "1",
        "hsUpTm": slashed(at),
    }


def holding_row(holding: SimHolding, ltp_paise: int, close_paise: int) -> Row:
    """One holding; numbers are JSON numbers and the exchange token is ``exchangeIdentifier``."""
    listing = holding.listing
    return {
        "displaySymbol": listing.symbol,
        "symbol": listing.symbol,
        "averagePrice": float(round(holding.average, 4)),
        "quantity": holding.quantity,
        "sellableQuantity": holding.quantity,
        "exchangeSegment": segment(listing),
        "exchangeIdentifier": str(listing.token),
        "holdingCost": float(round(holding.average * holding.quantity, 4)),
        "mktValue": ltp_paise * holding.quantity / 100,
        "closingPrice": close_paise / 100,
        "scripId": f"{listing.token:08x}",
        "instrumentToken": 700_000 + listing.token,
        "instrumentType": "Equity",
        "isAlternateScrip": False,
    }


# fmt: off
_LIMIT_ZEROS = (
    "AdhocMargin", "AdhocMarginCash", "AuxAdhocMargin", "AuxNotionalCash",
    "BoardLotLimit", "CashRlsMtomPrsnt", "CashUnRlsMtomPrsnt", "CncBrokeragePrsnt",
    "CncMarginUsedPrsnt", "CncSellcrdPresent", "CncUnrealizedMtomPrsnt", "ComRlsMtomPrsnt",
    "ComUnRlsMtomPrsnt", "CurRlsMtomPrsnt", "CurUnRlsMtomPrsnt", "DaneLimit",
    "DeliveryMarginPrsnt", "ExposureMarginPrsnt", "FoPremiumPrsnt", "FoRlsMtomPrsnt",
    "FoUnRlsMtomPrsnt", "MarginScripBasketCustomPresent", "MarginVarPrsnt", "MarginWarningPrcntPrsnt",
    "MfMarginPrsnt", "MfssAmountUsed", "MtomSquareOffWarningPrcntPrsnt", "MtomWarningPrcntPrsnt",
    "NotionalCash", "OptionPremiumPrsnt", "PremiumPrsnt", "RmsCollateral",
    "RmsPayInAmt", "RmsPayOutAmt", "SpanMarginPrsnt", "SpecialMarginPrsnt",
    "TenderMarginPrsnt", "TurnoverPrsnt",
)
# fmt: on


def limits(funds: SimFunds, account: str, at: datetime) -> Row:
    """The flat object of ``limits``: cash under ``CollateralValue``, pledged stock under ``Collateral``.

    ``Net`` is a float's text, artefacts and all.
    """
    row: Row = dict.fromkeys(_LIMIT_ZEROS, "0.00")
    return row | {
        "Category": "CLIENT_DEFAULT",
        "EntityId": f"account-{account}",
        "Net": str(float(funds.available)),
        "CollateralValue": f"{funds.opening:.2f}",
        "Collateral": f"{funds.collateral:.2f}",
        "MarginUsed": f"{funds.utilised:.2f}",
        "MarginUsedPrsnt": f"{funds.utilised:.2f}",
        "RealizedMtomPrsnt": f"{funds.realized:.2f}",
        "UnrealizedMtomPrsnt": f"{funds.unrealized:.2f}",
        "TimeStamp": str(int(at.timestamp() * 1000)),
        "stat": "Ok",
        "stCode": 200,
    }


def margin(needed: Decimal, funds: SimFunds) -> Row:
    """Reply of the margin check: ``reqdMrgn`` is the shortfall only."""
    short = max(needed - funds.available, Decimal(0))
    return {
        "avlCash": f"{funds.opening:.6f}",
        "totMrgnUsd": f"{funds.utilised + needed:.6f}",
        "mrgnUsd": f"{funds.utilised:.6f}",
        "ordMrgn": f"{needed:.6f}",
        "reqdMrgn": f"{short:.6f}",
        "avlMrgn": f"{funds.available:.6f}",
        "insufFund": f"{short:.6f}",
        "rmsVldtd": "OK",
        "stat": "Ok",
        "stCode": 200,
    }


def scrip_reference(listing: Listing) -> str:
    """``pScripRefKey``: ``DEMOIND``, ``NIFTY19MAY2623350.00PE``, ``TCS28JUL26``."""
    if listing.expiry is None:
        return listing.symbol
    when = f"{listing.expiry:%d%b%y}".upper()
    if listing.kind is Kind.FUTURE:
        return f"{listing.root}{when}"
    return f"{listing.root}{when}{listing.strike_paise / 100:.2f}{listing.kind.value}"
