"""What the simulated exchange lists: names, sizes and starting prices.

Symbols, index tokens, NSE/BSE scrip codes and index lots are the real ones; prices, stock lots, volumes and
ISINs are plausible inventions (nothing may depend on them being true).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Root:
    """One underlying with its own price path.

    Attributes:
        token: NSE token, or BSE's for a BSE index.
        bse_token: Scrip code of the BSE twin; 0 for none.
        base: Rupees around which the path wanders.
        volatility: Yearly, as a fraction; drives the path and prices the options.
        day_volume: Shares (cash) a day.
        lot: Units of one future or option; 0 for a root without derivatives.
        strike_step_paise: 0 for a root without options in the small universe.
        freeze: Largest quantity of one derivative order.
    """

    symbol: str
    name: str
    exchange: str
    token: int
    base: float
    tick_paise: int = 5
    volatility: float = 0.25
    day_volume: int = 4_000_000
    lot: int = 0
    strike_step_paise: int = 0
    freeze: int = 0
    bse_token: int = 0
    weekly: bool = False

    @property
    def is_index(self) -> bool:
        return self.exchange.endswith("_INDEX")

    @property
    def derivatives_exchange(self) -> str:
        return "BFO" if self.exchange in ("BSE", "BSE_INDEX") else "NFO"


INDICES: tuple[Root, ...] = (
    Root("NIFTY", "Nifty 50", "NSE_INDEX", 26000, 26000, 5, 0.13, 0, 65, 5000, 1800, weekly=True),
    Root("BANKNIFTY", "Nifty Bank", "NSE_INDEX", 26009, 58500, 5, 0.14, 0, 30, 10000, 600),
    Root("SENSEX", "SENSEX", "BSE_INDEX", 1, 85000, 5, 0.13, 0, 20, 10000, 1000, weekly=True),
    Root("FINNIFTY", "Nifty Fin Service", "NSE_INDEX", 26037, 27300, 5, 0.14, 0, 60),
    Root("INDIAVIX", "India VIX", "NSE_INDEX", 26017, 13, 5, 0.8, 0),
)

# symbol, company, NSE token, BSE scrip code, rupees, tick paise, lot, strike step paise (0: no options)
_EQUITIES = """
RELIANCE|Reliance Industries|2885|500325|1480|10|500|1000
SBIN|State Bank of India|3045|500112|965|5|750|500
TCS|Tata Consultancy Services|11536|532540|3120|10|175|2000
INFY|Infosys|1594|500209|1530|10|400|2000
HDFCBANK|HDFC Bank|1333|500180|998|5|550|500
ICICIBANK|ICICI Bank|4963|532174|1375|10|700|1000
TATASTEEL|Tata Steel|3499|500470|172.5|1|5500|250
M&M|Mahindra & Mahindra|2031|500520|3690|10|200|0
BAJAJ-AUTO|Bajaj Auto|16669|532977|8950|50|75|0
ITC|ITC|1660|500875|405|5|1600|0
BHARTIARTL|Bharti Airtel|10604|0|2100|10|475|0
LT|Larsen & Toubro|11483|0|4010|10|175|0
KOTAKBANK|Kotak Mahindra Bank|1922|0|2090|10|400|0
AXISBANK|Axis Bank|5900|0|1270|10|625|0
HINDUNILVR|Hindustan Unilever|1394|0|2420|10|300|0
BAJFINANCE|Bajaj Finance|317|0|1010|5|750|0
BAJAJFINSV|Bajaj Finserv|16675|0|2050|10|250|0
MARUTI|Maruti Suzuki|10999|0|15800|100|50|0
SUNPHARMA|Sun Pharmaceutical|3351|0|1760|10|350|0
TITAN|Titan Company|3506|0|3890|10|175|0
ASIANPAINT|Asian Paints|236|0|2880|10|250|0
ULTRACEMCO|UltraTech Cement|11532|0|11700|100|50|0
NESTLEIND|Nestle India|17963|0|1270|10|500|0
WIPRO|Wipro|3787|0|245|1|3000|0
HCLTECH|HCL Technologies|7229|0|1640|10|350|0
TECHM|Tech Mahindra|13538|0|1450|10|600|0
ONGC|Oil & Natural Gas Corporation|2475|0|247|1|2250|0
NTPC|NTPC|11630|0|326|5|1500|0
POWERGRID|Power Grid Corporation|14977|0|277|5|1900|0
COALINDIA|Coal India|20374|0|379|5|1350|0
JSWSTEEL|JSW Steel|11723|0|1160|10|675|0
HINDALCO|Hindalco Industries|1363|0|795|5|700|0
GRASIM|Grasim Industries|1232|0|2750|10|250|0
CIPLA|Cipla|694|0|1520|10|375|0
DRREDDY|Dr. Reddy's Laboratories|881|0|1245|10|625|0
EICHERMOT|Eicher Motors|910|0|6900|50|100|0
HEROMOTOCO|Hero MotoCorp|1348|0|5700|50|150|0
BRITANNIA|Britannia Industries|547|0|5850|50|125|0
ADANIENT|Adani Enterprises|25|0|2440|10|300|0
ADANIPORTS|Adani Ports|15083|0|1500|10|475|0
APOLLOHOSP|Apollo Hospitals|157|0|7400|50|125|0
TATACONSUM|Tata Consumer Products|3432|0|1170|10|550|0
INDUSINDBK|IndusInd Bank|5258|0|850|5|700|0
HDFCLIFE|HDFC Life|467|0|765|5|1100|0
SBILIFE|SBI Life|21808|0|2030|10|375|0
SHRIRAMFIN|Shriram Finance|4306|0|820|5|825|0
BEL|Bharat Electronics|383|0|420|5|1425|0
TRENT|Trent|1964|0|4400|20|100|0
JIOFIN|Jio Financial Services|18143|0|308|5|2350|0
VEDL|Vedanta|3063|0|515|5|1150|0
IDEA|Vodafone Idea|14366|532822|10.6|1|0|0
"""


def _equity(line: str) -> Root:
    symbol, name, token, bse, base, tick, lot, step = line.split("|")
    rupees = float(base)
    return Root(
        symbol,
        name,
        "NSE",
        int(token),
        rupees,
        int(tick),
        0.45 if symbol == "IDEA" else 0.25,
        max(200_000, int(6e9 / rupees)),
        int(lot),
        int(step),
        int(lot) * 40,
        int(bse),
    )


EQUITIES: tuple[Root, ...] = tuple(_equity(line) for line in _EQUITIES.strip().splitlines())

SYNTHETIC_ROOTS = 165
"""Extra roots with derivatives in the full universe (real exchanges list a little over 200 in all)."""
SYNTHETIC_EQUITIES = 2600
"""Extra shares in the full universe, twinned on BSE."""


def synthetic(number: int) -> Root:
    """An invented share of the full universe: the first ``SYNTHETIC_ROOTS`` have derivatives."""
    base = float(40 + (number * 7919) % 4000)
    has_derivatives = number < SYNTHETIC_ROOTS
    lot = max(25, int(600_000 / base) // 25 * 25) if has_derivatives else 0
    step = 250 if base < 250 else 500 if base < 1000 else 1000 if base < 2000 else 2000
    return Root(
        symbol=f"SIM{_letters(number)}",
        name=f"Simulated Company {number}",
        exchange="NSE",
        token=40_000 + number,
        base=base,
        tick_paise=1 if base < 250 else 5 if base < 1000 else 10,
        volatility=0.3,
        day_volume=max(20_000, int(4e8 / base)),
        lot=lot,
        strike_step_paise=step if has_derivatives else 0,
        freeze=lot * 40,
        bse_token=590_000 + number,
    )


def _letters(number: int) -> str:
    text = ""
    for _ in range(3):
        number, digit = divmod(number, 26)
        text = chr(ord("A") + digit) + text
    return text


def isin(number: int) -> str:
    """An invented ISIN with a right check digit (Luhn over letters as 10…35)."""
    body = f"INE{number:04d}S01{number % 100:02d}"[:11]
    digits = "".join(str(int(char, 36)) for char in body)
    total = 0
    for place, char in enumerate(reversed(digits)):
        doubled = int(char) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return body + str(-total % 10)
