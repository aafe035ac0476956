"""Scrip-master files with Kotak's exact odd header, invented rows."""

from __future__ import annotations

HEADER = (
    "pSymbol,pGroup,pExchSeg,pInstType,pSymbolName,pTrdSymbol,pOptionType,pScripRefKey,pISIN,pAssetCode,pSubGroup,"
    "pCombinedSymbol,pDesc,pAmcCode,pContractId,dTickSize ,lLotSize,lExpiryDate ,lMultiplier ,lPrecision,"
    "dStrikePrice;,pExchange,pInstName,pExpiryDate,pIssueDate,pMaturityDate,pListingDate,pNoDelStartDate,"
    "pNoDelEndDate,pBookClsStartDate,pBookClsEndDate,pRecordDate,pCreditRating,pReAdminDate,pExpulsionDate,"
    "pLocalUpdateTime,pDeliveryUnits,pPriceUnits,pLastTradingDate,pTenderPeridEndDate,pTenderPeridStartDate,"
    "pSellVarMargin,pBuyVarMargin,pInstrumentInfo,pRemarksText,pSegment,pNav,pNavDate,pMfAmt,pSipSecurity,pFaceValue,"
    "pTrdUnits,pExerciseStartDate,pExerciseEndDate,pElmMargin,pVarMargin,pTotProposedLimitValue,pScripBasePrice,"
    "pSettlementType,pCurrectionTime,iPermittedToTrade,iBoardLotQty ,iMaxOrderSize ,iLotSize,dOpenInterest ,"
    "dHighPriceRange ,dLowPriceRange ,dPriceNum   ,dGenDen,dGenNum,dPriceQuatation ,dIssuerate ,dPriceDen,"
    "dWarningQty ,dIssueCapital ,dExposureMargin ,dMinRedemptionQty ,lFreezeQty"
)
COLUMNS = HEADER.split(",")
_PLACES = {name.strip(): index for index, name in enumerate(COLUMNS)}


def line(**values: object) -> str:
    cells = [""] * len(COLUMNS)
    for name, value in values.items():
        cells[_PLACES["dStrikePrice;" if name == "dStrikePrice" else name]] = str(value)
    return ",".join(cells)


def row(
    token: object,
    group: str,
    segment: str,
    kind: str,
    name: str,
    trading: str,
    option: str,
    isin: str,
    tick: object,
    lot: object,
    expiry: object,
    strike: object,
    **more: object,
) -> str:
    """Columns in the order section 6.4 lists them."""
    return line(
        pSymbol=token,
        pGroup=group,
        pExchSeg=segment,
        pInstType=kind,
        pSymbolName=name,
        pTrdSymbol=trading,
        pOptionType=option,
        pISIN=isin,
        dTickSize=tick,
        lLotSize=lot,
        lExpiryDate=expiry,
        dStrikePrice=strike,
        **more,
    )


def file(*rows: str) -> bytes:
    return ("\n".join((HEADER, *rows)) + "\n").encode()


SAMPLES = {
    "nse_cm.csv": file(
        row(
            90001,
            "EQ",
            "nse_cm",
            "",
            "DEMOIND",
            "DEMOIND-EQ",
            "",
            "INE000A00001",
            5,
            1,
            -1,
            -1,
            lFreezeQty=9999,
        ),
        row(90002, "BE", "nse_cm", "", "DEMOTWO", "DEMOTWO-BE", "", "INE000A00002", 1, 1, -1, -1),
        row(26000, "", "nse_cm", "", "NIFTY", "NIFTY", "", "", -1, 1, -1, -1),
    ),
    "nse_fo.csv": file(
        row(
            50001,
            "XX",
            "nse_fo",
            "OPTIDX",
            "NIFTY",
            "NIFTY26NOV24000CE",
            "CE",
            "",
            5,
            65,
            1479997800,
            2400000,
        ),
        row(
            50002,
            "XX",
            "nse_fo",
            "FUTIDX",
            "BANKNIFTY",
            "BANKNIFTY26DECFUT",
            "XX",
            "",
            20,
            30,
            1483021800,
            -1,
        ),
    ),
    "bse_fo.csv": file(
        row(
            70001,
            "XX",
            "bse_fo",
            "OPTIDX",
            "SENSEX",
            "SENSEX26NOV82000PE",
            "PE",
            "",
            5,
            20,
            1795651200,
            8200000,
        ),
    ),
    "mcx_fo.csv": file(
        row(80001, "XX", "mcx_fo", "FUTCOM", "GOLD", "GOLD26DECFUT", "XX", "", 100, 1, 1796408940, -1),
    ),
    "cde_fo.csv": file(
        row(60001, "XX", "cde_fo", "FUTCUR", "USDINR", "USDINR26DECFUT", "XX", "", 0.25, 1, 1483021800, -1),
    ),
}
