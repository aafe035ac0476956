"""Options and calendar through the unmodified ``openalgo`` SDK. Runs in the SDK's own environment.

usage: sdk_options.py HOST KEY; prints one JSON object with what it saw.
"""

import json
import sys

from openalgo import api

NIFTY = {"underlying": "NIFTY", "exchange": "NSE_INDEX"}
LEGS = [
    {"offset": "ATM", "option_type": "CE", "action": "SELL", "quantity": 0},
    {"offset": "OTM2", "option_type": "CE", "action": "BUY", "quantity": 0},
]


def main():
    host, key = sys.argv[1:]
    client = api(api_key=key, host=host)
    seen = {"expiry": client.expiry(symbol="NIFTY", exchange="NFO", instrumenttype="options")}
    expiry = seen["expiry"]["data"][-1].replace("-", "")
    about = {**NIFTY, "expiry_date": expiry}
    seen["symbol"] = client.optionsymbol(**about, offset="OTM1", option_type="CE", strategy="sdk")
    seen["chain"] = client.optionchain(**about, strike_count=5, with_greeks=True, interest_rate=0)
    seen["whole"] = client.optionchain(underlying=f"NIFTY{expiry}FUT", exchange="NFO")
    seen["greeks"] = client.optiongreeks(symbol=seen["symbol"]["symbol"], exchange="NFO")
    seen["future"] = client.syntheticfuture(**about)
    lot = seen["symbol"]["lotsize"]
    order = {**about, "strategy": "sdk", "option_type": "CE", "action": "BUY"}
    seen["order"] = client.optionsorder(
        **order, offset="ATM", quantity=lot, price_type="MARKET", product="NRML"
    )
    seen["split"] = client.optionsorder(**order, offset="ATM", quantity=3 * lot, splitsize=2 * lot)
    legs = [{**leg, "quantity": lot} for leg in LEGS]
    seen["legs"] = client.optionsmultiorder(**about, strategy="sdk", legs=legs)
    seen["book"] = client.orderbook()
    seen["holidays"] = client.holidays(year=2026)
    seen["timings"] = client.timings(date="2026-11-20")
    print("RESULT " + json.dumps(seen))


main()
