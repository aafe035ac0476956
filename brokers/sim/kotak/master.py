"""The scrip-master files: the exact 78-column header, one file per segment and day.

Source: Kotak Neo scrip master (2026): header with its trailing blanks and semicolon, expiry by segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time

from brokers.sim.exchange.types import Kind, Listing
from brokers.sim.exchange.universe import Universe
from brokers.sim.kotak.names import SEGMENT_OF, decimals, segment, trading_symbol
from brokers.sim.kotak.shapes import scrip_reference

HEADER = (
    "pSymbol,pGroup,pExchSeg,pInstType,pSymbolName,pTrdSymbol,pOptionType,pScripRefKey,pISIN,pAssetCode,"
    "pSubGroup,pCombinedSymbol,pDesc,pAmcCode,pContractId,dTickSize ,lLotSize,lExpiryDate ,lMultiplier ,"
    "lPrecision,dStrikePrice;,pExchange,pInstName,pExpiryDate,pIssueDate,pMaturityDate,pListingDate,"
    "pNoDelStartDate,pNoDelEndDate,pBookClsStartDate,pBookClsEndDate,pRecordDate,pCreditRating,pReAdminDate,"
    "pExpulsionDate,pLocalUpdateTime,pDeliveryUnits,pPriceUnits,pLastTradingDate,pTenderPeridEndDate,"
    "pTenderPeridStartDate,pSellVarMargin,pBuyVarMargin,pInstrumentInfo,pRemarksText,pSegment,pNav,pNavDate,"
    "pMfAmt,pSipSecurity,pFaceValue,pTrdUnits,pExerciseStartDate,pExerciseEndDate,pElmMargin,pVarMargin,"
    "pTotProposedLimitValue,pScripBasePrice,pSettlementType,pCurrectionTime,iPermittedToTrade,iBoardLotQty ,"
    "iMaxOrderSize ,iLotSize,dOpenInterest ,dHighPriceRange ,dLowPriceRange ,dPriceNum   ,dGenDen,dGenNum,"
    "dPriceQuatation ,dIssuerate ,dPriceDen,dWarningQty ,dIssueCapital ,dExposureMargin ,dMinRedemptionQty ,"
    "lFreezeQty"
)
COLUMNS = tuple(name.strip() for name in HEADER.split(","))

FILES = {
    "nse_cm": "transformed-v1/nse_cm-v1.csv",
    "bse_cm": "transformed-v1/bse_cm-v1.csv",
    "nse_fo": "transformed/nse_fo.csv",
    "bse_fo": "transformed/bse_fo.csv",
    "cde_fo": "transformed/cde_fo.csv",
    "mcx_fo": "transformed/mcx_fo.csv",
    "nse_com": "transformed/nse_com.csv",
}
FOLDER = "wso2-scripmaster/v1/prod"

LISTED_INDICES = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX", "BANKEX"})
"""Indices that have a row; the others exist only as names on quotes and feeds."""

_WALL_EPOCH = date(1980, 1, 1)
_NSE_EXPIRY = time(14, 30)
_CORRECTION = 315_513_000


def expiry_seconds(expiry: date, seg: str) -> int:
    """``lExpiryDate`` of a segment.

    NSE and currency count from 1980-01-01 IST wall time (14:30 on the day), BSE and MCX in Unix seconds
    (midnight UTC; MCX at 23:59 IST).

    Source: kotak-wire reference, "Expiry seconds" and its sample rows.
    """
    if seg in ("nse_fo", "cde_fo"):
        days = (expiry - _WALL_EPOCH).days
        return days * 86_400 + _NSE_EXPIRY.hour * 3600 + _NSE_EXPIRY.minute * 60
    at = time(18, 29) if seg == "mcx_fo" else time(0)
    return int(datetime.combine(expiry, at, UTC).timestamp())


def instrument_type(listing: Listing, universe: Universe) -> str:
    """``OPTIDX``, ``FUTSTK``, ``FUTCOM``, ``OPTCUR`` …; empty for cash."""
    if listing.kind in (Kind.EQUITY, Kind.INDEX):
        return ""
    kind = "FUT" if listing.kind is Kind.FUTURE else "OPT"
    if listing.exchange == "MCX":
        return "FUTCOM" if kind == "FUT" else "OPTFUT"
    if listing.exchange == "CDS":
        return f"{kind}CUR"
    return kind + ("IDX" if universe.spot(listing).kind is Kind.INDEX else "STK")


def csv(universe: Universe, seg: str) -> Iterator[str]:
    """The lines of one segment's file, header first, each with its newline."""
    yield HEADER + "\n"
    for listing in _of_segment(universe.listings, seg):
        yield ",".join(_row(listing, universe)) + "\n"


def _of_segment(listings: Iterable[Listing], seg: str) -> Iterator[Listing]:
    for listing in listings:
        if SEGMENT_OF.get(listing.exchange) != seg:
            continue
        if listing.kind is not Kind.INDEX or listing.symbol in LISTED_INDICES:
            yield listing


def _circuits(listing: Listing) -> tuple[int, int]:
    """Circuit limits x 100; the file is made before the day starts, so from yesterday's close."""
    tick = max(listing.tick_paise, 1)
    share = 10 if listing.expiry is None or listing.kind is Kind.FUTURE else 100
    high = listing.base_paise * (100 + share) // 100 // tick * tick
    low = max(listing.base_paise * (100 - share) // 100 // tick * tick, tick)
    return max(high, tick), low


def _row(listing: Listing, universe: Universe) -> list[str]:
    seg = segment(listing)
    derivative = listing.expiry is not None
    is_index = listing.kind is Kind.INDEX
    group = "XX" if derivative else "" if is_index else "EQ" if seg == "nse_cm" else "A"
    expiry = str(expiry_seconds(listing.expiry, seg)) if listing.expiry else ""
    option = "XX" if listing.kind is Kind.FUTURE else listing.kind.value if derivative else ""
    high, low = ("", "") if is_index else map(str, _circuits(listing))
    strike = str(listing.strike_paise) if listing.strike_paise else "-1"
    lot = str(listing.lot_size)
    cells = {
        "pSymbol": str(listing.token),
        "pGroup": group,
        "pExchSeg": seg,
        "pInstType": instrument_type(listing, universe),
        "pSymbolName": listing.root,
        "pTrdSymbol": trading_symbol(listing),
        "pOptionType": option,
        "pScripRefKey": scrip_reference(listing),
        "pISIN": listing.isin,
        "pDesc": "" if derivative else listing.name.replace(",", " "),
        "dTickSize": "-1" if is_index else str(listing.tick_paise),
        "lLotSize": lot,
        "lExpiryDate": expiry or "-1",
        "lMultiplier": "1" if derivative else "-1",
        "lPrecision": str(decimals(listing)),
        "dStrikePrice;": strike,
        "pExchange": "BSE" if seg.startswith("bse") else "MCX" if seg == "mcx_fo" else "NSE",
        "pInstName": instrument_type(listing, universe),
        "pExpiryDate": expiry,
        "pCurrectionTime": str(_CORRECTION),
        "iPermittedToTrade": "0" if is_index else "1",
        "iBoardLotQty": lot,
        "iMaxOrderSize": str(listing.freeze_qty),
        "iLotSize": lot,
        "dOpenInterest": "0",
        "dHighPriceRange": high,
        "dLowPriceRange": low,
        "dPriceNum": "1",
        "dGenDen": "1",
        "dGenNum": "1",
        "dPriceDen": "1",
        "lFreezeQty": str(listing.freeze_qty),
    }
    return [cells.get(name, "") for name in COLUMNS]
