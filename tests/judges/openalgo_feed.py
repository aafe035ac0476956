"""The unmodified openalgo SDK's feed client against a WebSocket server. Runs in ``.venv-openalgo``.

usage: openalgo_feed.py WS_URL API_KEY EXCHANGE SYMBOL [EXCHANGE SYMBOL …]; prints one JSON object.
"""

import json
import sys
import time

from openalgo import api


def wait_for(true, seconds=20):
    end = time.time() + seconds
    while time.time() < end and not true():
        time.sleep(0.02)
    return bool(true())


def main():
    url, key, *names = sys.argv[1:]
    instruments = [{"exchange": e, "symbol": s} for e, s in zip(names[::2], names[1::2], strict=True)]
    seen = {"ltp": [], "quote": [], "depth": []}
    client = api(api_key=key, host="http://127.0.0.1:5000", ws_url=url)
    began = time.time()
    result = {"connected": client.connect(), "connect_s": time.time() - began}
    if result["connected"]:
        client.subscribe_ltp(instruments, on_data_received=seen["ltp"].append)
        client.subscribe_quote(instruments, on_data_received=seen["quote"].append)
        client.subscribe_depth(instruments, on_data_received=seen["depth"].append)
        result["all_callbacks"] = wait_for(
            lambda: all(len({d["symbol"] for d in got}) == len(instruments) for got in seen.values())
        )
        result["ltp"], result["quotes"], result["depth"] = (
            client.get_ltp(),
            client.get_quotes(),
            client.get_depth(),
        )
        result["first"] = {kind: got[0] if got else None for kind, got in seen.items()}
        client.unsubscribe_ltp(instruments)
        client.unsubscribe_quote(instruments)
        client.unsubscribe_depth(instruments)
        time.sleep(0.3)
        counts = {kind: len(got) for kind, got in seen.items()}
        time.sleep(0.7)
        result["after_unsubscribe"] = {kind: len(got) - counts[kind] for kind, got in seen.items()}
    client.disconnect()
    wrong = api(api_key="0" * 64, host="http://127.0.0.1:5000", ws_url=url)
    result["wrong_key_connected"] = wrong.connect()
    wrong.disconnect()
    print(json.dumps(result))


main()
