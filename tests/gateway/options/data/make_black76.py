"""Write ``black76.json``: what vollib says an option is worth and how it moves.

Run by hand in an environment of its own (vollib brings scipy and pandas, which nothing else here needs)::

    pip install vollib==1.0.11 && python tests/gateway/options/data/make_black76.py
"""

from __future__ import annotations

import itertools
import json
from importlib.metadata import version
from pathlib import Path

from vollib.black import black
from vollib.black.greeks.analytical import delta, gamma, rho, theta, vega
from vollib.black.implied_volatility import implied_volatility

OUT = Path(__file__).with_name("black76.json")
FORWARDS = (
    (26012.4, (24000, 25900, 26000, 26050, 28500)),
    (292.35, (250, 292.5, 340)),
    (83.9125, (83.75, 84)),
)
DAYS = (0.2, 5, 32, 365)
RATES = (0.0, 0.065)
VOLATILITIES = (0.08, 0.13, 0.55)


def main() -> None:
    rows = []
    for (forward, strikes), days, rate, sigma in itertools.product(FORWARDS, DAYS, RATES, VOLATILITIES):
        for strike, flag in itertools.product(strikes, "cp"):
            years = days / 365
            case = (flag, forward, strike, years, rate, sigma)
            worth = float(black(*case))
            if worth < 0.005:
                continue
            moves = [float(of(*case)) for of in (delta, gamma, theta, vega, rho)]
            found = float(implied_volatility(worth, forward, strike, rate, years, flag))
            rows.append([*case, worth, found, *moves])
    names = ["flag", "forward", "strike", "years", "rate", "sigma", "price", "iv"]
    names += ["delta", "gamma", "theta", "vega", "rho"]
    body = {"source": f"vollib {version('vollib')}", "columns": names, "rows": rows}
    head = json.dumps({k: v for k, v in body.items() if k != "rows"})[:-1]
    lines = ",\n".join(json.dumps(row) for row in rows)
    OUT.write_text(f'{head}, "rows": [\n{lines}\n]}}\n')
    print(f"{OUT.name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
