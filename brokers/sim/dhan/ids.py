"""Dhan's names for instruments: segments, security ids, instrument kinds, display names."""

from __future__ import annotations

from brokers.sim.exchange.types import Kind, Listing
from brokers.sim.exchange.universe import Universe

SEGMENTS = {
    "NSE_INDEX": "IDX_I",
    "BSE_INDEX": "IDX_I",
    "NSE": "NSE_EQ",
    "NFO": "NSE_FNO",
    "CDS": "NSE_CURRENCY",
    "BSE": "BSE_EQ",
    "MCX": "MCX_COMM",
    "BCD": "BSE_CURRENCY",
    "BFO": "BSE_FNO",
}
"""OpenAlgo exchange -> exchange segment; the indices of both exchanges share one."""

CODES = {
    "IDX_I": 0,
    "NSE_EQ": 1,
    "NSE_FNO": 2,
    "NSE_CURRENCY": 3,
    "BSE_EQ": 4,
    "MCX_COMM": 5,
    "BSE_CURRENCY": 7,
    "BSE_FNO": 8,
}
"""Exchange segment -> its byte in packets."""

INDEX_IDS = {
    ("NSE_INDEX", "NIFTY"): 13,
    ("NSE_INDEX", "BANKNIFTY"): 25,
    ("NSE_INDEX", "FINNIFTY"): 27,
    ("NSE_INDEX", "INDIAVIX"): 21,
    ("BSE_INDEX", "SENSEX"): 51,
    ("BSE_INDEX", "BANKEX"): 69,
}
"""Index ids everybody hardcodes; the others are looked up in the file."""

INDEX_NAMES = {
    "INDIAVIX": "INDIA VIX",
    "NIFTYNXT50": "NIFTY NEXT 50",
    "NIFTYMIDCAP50": "NIFTY MCAP 50",
    "SENSEX50": "SNSX50",
}
"""OpenAlgo symbol -> Dhan's spelling in the file, where they differ."""

INDEX_ROOTS = frozenset(
    {"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"}
)
"""Roots whose derivatives are index derivatives."""

LOT_COUNTED = frozenset({"MCX", "CDS", "BCD"})
"""Exchanges whose rows show a lot of 1.0: quantities there count lots."""


_HOMES = {
    "NSE": ("NSE", "E"),
    "BSE": ("BSE", "E"),
    "NSE_INDEX": ("NSE", "I"),
    "BSE_INDEX": ("BSE", "I"),
    "NFO": ("NSE", "D"),
    "BFO": ("BSE", "D"),
    "CDS": ("NSE", "C"),
    "BCD": ("BSE", "C"),
    "MCX": ("MCX", "M"),
}


class Directory:
    """Both ways between listings and (segment, security id). Ids are unique per segment only."""

    def __init__(self, universe: Universe) -> None:
        self._listings: dict[tuple[str, int], Listing] = {}
        self._ids: dict[tuple[str, str], int] = {}
        later = []
        for listing in universe.listings:
            if listing.exchange not in SEGMENTS:
                continue
            if listing.kind is not Kind.INDEX:
                self._enter(listing, listing.token)
            elif (fixed := INDEX_IDS.get((listing.exchange, listing.symbol))) is not None:
                self._enter(listing, fixed)
            else:
                later.append(listing)
        for listing in later:
            security_id = listing.token
            while ("IDX_I", security_id) in self._listings:
                security_id += 100_000
            self._enter(listing, security_id)

    def _enter(self, listing: Listing, security_id: int) -> None:
        self._listings[SEGMENTS[listing.exchange], security_id] = listing
        self._ids[listing.exchange, listing.symbol] = security_id

    def name(self, listing: Listing) -> None:
        """Give a listing beside the universe its id, for the files; ``find`` does not know it."""
        self._ids[listing.exchange, listing.symbol] = listing.token

    def find(self, segment: str, security_id: int) -> Listing | None:
        return self._listings.get((segment, security_id))

    def id(self, listing: Listing) -> int:
        return self._ids[listing.exchange, listing.symbol]

    def knows(self, listing: Listing) -> bool:
        return (listing.exchange, listing.symbol) in self._ids


def segment(listing: Listing) -> str:
    return SEGMENTS[listing.exchange]


def segment_code(listing: Listing) -> int:
    return CODES[SEGMENTS[listing.exchange]]


def units_per_lot(listing: Listing) -> int:
    """Exchange units in one of the venue's: 1, except where Dhan counts lots."""
    return listing.lot_size if listing.exchange in LOT_COUNTED else 1


def home(listing: Listing) -> tuple[str, str]:
    """Exchange and segment letter (E, I, D, C, M)."""
    return _HOMES[listing.exchange]


def series(listing: Listing) -> str:
    if listing.kind is Kind.EQUITY:
        return "A" if listing.exchange == "BSE" else "EQ"
    if listing.kind is Kind.INDEX:
        return "X"
    return "2" if listing.exchange == "MCX" else "NA"


def is_option(listing: Listing) -> bool:
    return listing.kind in (Kind.CALL, Kind.PUT)


def instrument(listing: Listing) -> str:
    """Dhan's instrument word: ``EQUITY``, ``INDEX``, ``FUTIDX``, ``OPTSTK``, ``FUTCOM``, ``OPTFUT``, …."""
    if listing.kind is Kind.INDEX:
        return "INDEX"
    if listing.kind is Kind.EQUITY:
        return "EQUITY"
    option = is_option(listing)
    if listing.exchange == "MCX":
        return "OPTFUT" if option else "FUTCOM"
    if listing.exchange in ("CDS", "BCD"):
        return "OPTCUR" if option else "FUTCUR"
    family = "IDX" if listing.root in INDEX_ROOTS else "STK"
    return ("OPT" if option else "FUT") + family


def trading_symbol(listing: Listing) -> str:
    """``RELIANCE``, ``NIFTY-Sep2026-FUT``, ``NIFTY-Sep2026-24800-CE``, ``CRUDEOIL-19Oct2026-FUT``."""
    if listing.kind is Kind.INDEX:
        return INDEX_NAMES.get(listing.symbol, listing.symbol)
    if listing.expiry is None:
        return listing.symbol
    month = listing.expiry.strftime("%d%b%Y" if listing.exchange == "MCX" else "%b%Y")
    if not is_option(listing):
        return f"{listing.root}-{month}-FUT"
    return f"{listing.root}-{month}-{strike_text(listing)}-{listing.kind.value}"


def display_name(listing: Listing) -> str:
    """``NIFTY 29 SEP 24800 CALL``, ``NIFTY SEP FUT``, ``Demo Bank``."""
    if listing.expiry is None:
        return listing.name
    if not is_option(listing):
        return f"{listing.root} {listing.expiry:%b} FUT".upper()
    strike = listing.strike_paise
    shown = f"{strike // 100}" if strike % 100 == 0 else f"{strike / 100:.2f}"
    side = "CALL" if listing.kind is Kind.CALL else "PUT"
    return f"{listing.root} {listing.expiry:%d %b} {shown} {side}".upper()


def strike_text(listing: Listing) -> str:
    """``24800``, ``292.5``: no trailing zeros."""
    whole, part = divmod(listing.strike_paise, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".") if part else str(whole)


def drv_option_type(listing: Listing) -> str:
    return {Kind.CALL: "CALL", Kind.PUT: "PUT"}.get(listing.kind, "NA")
