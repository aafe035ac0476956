"""Send one alert as TradingView does. The address is all it needs: no key, so keep it secret."""

import json
import os
import urllib.request
from datetime import UTC, datetime

address = os.environ["ALGO_HOOK"]  # algo strategy create dhan trend --mode LONG --symbol NSE:SBIN:1:MIS
alert = {"symbol": "SBIN", "action": "BUY", "time": datetime.now(UTC).isoformat()}

for _ in range(2):  # sent twice, as a nervous sender may: one order
    request = urllib.request.Request(
        address, json.dumps(alert).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.status, json.load(answer))
