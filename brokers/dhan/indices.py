"""Index names: Dhan's trading symbols -> OpenAlgo's. Data only.

Source: OpenAlgo's symbol format page (names) and its Dhan adapter (renames).
"""

from __future__ import annotations

NSE_NAMES = frozenset(
    [
        "NIFTY",
        "NIFTYNXT50",
        "FINNIFTY",
        "BANKNIFTY",
        "MIDCPNIFTY",
        "INDIAVIX",
        "HANGSENGBEESNAV",
        "NIFTY100",
        "NIFTY200",
        "NIFTY500",
        "NIFTYALPHA50",
        "NIFTYAUTO",
        "NIFTYCOMMODITIES",
        "NIFTYCONSUMPTION",
        "NIFTYCPSE",
        "NIFTYDIVOPPS50",
        "NIFTYENERGY",
        "NIFTYFMCG",
        "NIFTYGROWSECT15",
        "NIFTYGS10YR",
        "NIFTYGS10YRCLN",
        "NIFTYGS1115YR",
        "NIFTYGS15YRPLUS",
        "NIFTYGS48YR",
        "NIFTYGS813YR",
        "NIFTYGSCOMPSITE",
        "NIFTYINFRA",
        "NIFTYIT",
        "NIFTYMEDIA",
        "NIFTYMETAL",
        "NIFTYMIDLIQ15",
        "NIFTYMIDCAP100",
        "NIFTYMIDCAP150",
        "NIFTYMIDCAP50",
        "NIFTYMIDSML400",
        "NIFTYMNC",
        "NIFTYPHARMA",
        "NIFTYPSE",
        "NIFTYPSUBANK",
        "NIFTYPVTBANK",
        "NIFTYREALTY",
        "NIFTYSERVSECTOR",
        "NIFTYSMLCAP100",
        "NIFTYSMLCAP250",
        "NIFTYSMLCAP50",
        "NIFTY100EQLWGT",
        "NIFTY100LIQ15",
        "NIFTY100LOWVOL30",
        "NIFTY100QUALTY30",
        "NIFTY200QUALTY30",
        "NIFTY50DIVPOINT",
        "NIFTY50EQLWGT",
        "NIFTY50PR1XINV",
        "NIFTY50PR2XLEV",
        "NIFTY50TR1XINV",
        "NIFTY50TR2XLEV",
        "NIFTY50VALUE20",
    ]
)
NSE_RENAMES = {
    "NIFTYNEXT50": "NIFTYNXT50",
    "NIFTYMCAP50": "NIFTYMIDCAP50",
    "NIFTYMIDSMALLCAP400": "NIFTYMIDSML400",
    "NIFTYSMALLCAP100": "NIFTYSMLCAP100",
    "NIFTYSMALLCAP250": "NIFTYSMLCAP250",
    "NIFTYSMALLCAP50": "NIFTYSMLCAP50",
    "NIFTY100EQUALWEIGHT": "NIFTY100EQLWGT",
    "NIFTY100LOWVOLATILITY30": "NIFTY100LOWVOL30",
    "NIFTYMID100FREE": "NIFTYMIDCAP100",
}
BSE_RENAMES = {
    "SNSX50": "SENSEX50",
    "SNXT50": "BSESENSEXNEXT50",
    "MID150": "BSE150MIDCAPINDEX",
    "LMI250": "BSE250LARGEMIDCAPINDEX",
    "MSL400": "BSE400MIDSMALLCAPINDEX",
    "AUTO": "BSEAUTO",
    "BSECG": "BSECAPITALGOODS",
    "BSECD": "BSECONSUMERDURABLES",
    "BSEHC": "BSEHEALTHCARE",
    "BSEIT": "BSEINFORMATIONTECHNOLOGY",
    "CARBON": "BSECARBONEX",
    "CPSE": "BSECPSE",
    "DOL100": "BSEDOLLEX100",
    "DOL200": "BSEDOLLEX200",
    "DOL30": "BSEDOLLEX30",
    "ENERGY": "BSEENERGY",
    "BSEFMC": "BSEFASTMOVINGCONSUMERGOODS",
    "FINSER": "BSEFINANCIALSERVICES",
    "GREENX": "BSEGREENEX",
    "INFRA": "BSEINDIAINFRASTRUCTUREINDEX",
    "INDSTR": "BSEINDUSTRIALS",
    "LRGCAP": "BSELARGECAP",
    "METAL": "BSEMETAL",
    "MIDCAP": "BSEMIDCAP",
    "MIDSEL": "BSEMIDCAPSELECTINDEX",
    "OILGAS": "BSEOIL&GAS",
    "POWER": "BSEPOWER",
    "REALTY": "BSEREALTY",
    "SMLCAP": "BSESMALLCAP",
    "SMLSEL": "BSESMALLCAPSELECTINDEX",
    "SMEIPO": "BSESMEIPO",
    "TECK": "BSETECK",
    "TELCOM": "BSETELECOM",
}
BSE_NAMES = frozenset(
    {*BSE_RENAMES.values(), "SENSEX", "BANKEX", "BSE100", "BSE200", "BSE500", "BSEIPO", "BSEPSU"}
)


def symbol(exchange: str, trading_symbol: str) -> str:
    """OpenAlgo's name where it has one, else Dhan's as it stands."""
    plain = trading_symbol.upper().replace(" ", "").replace("-", "")
    if exchange == "NSE_INDEX":
        name = NSE_RENAMES.get(plain, plain)
        return name if name in NSE_NAMES else trading_symbol
    name = BSE_RENAMES.get(plain, plain)
    return name if name in BSE_NAMES else trading_symbol
