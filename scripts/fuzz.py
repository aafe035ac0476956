"""What ``scripts/fuzz_api`` runs: a simulated broker, an api process with wide limits, and schemathesis."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from brokers.model import Venue
from gateway import settings as gateway_settings
from tests.gateway.api.rig import write_env

WIDE = (
    "WEBHOOK_RATE_LIMIT=100000 per second",
    "API_RATE_LIMIT=100000 per second",
    "ORDER_RATE_LIMIT=100000 per second",
)
ALERT = {
    "symbol": ["SBIN", "TCS"],
    "action": ["BUY", "SELL", "sell"],
    "position_size": [0, 1, "-2.0"],
    "stocks": ["SBIN,TCS", "SBIN"],
    "scan_name": ["BUY now", "short", "cover", "SELL"],
}
SMART = "SMART_ORDER_RATE_LIMIT=100000 per second"
READY_S = 60.0


def call(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, None
    except OSError:
        return 0, None


def webhooks(base: str, internal: dict[str, str]) -> dict[str, str]:
    """A strategy for each path of alerts: first part of the path to webhook id."""
    symbols = [{"exchange": "NSE", "symbol": name, "quantity": 1} for name in ("SBIN", "TCS")]
    found = {}
    for name, platform in (("strategy", "other"), ("chartink", "chartink")):
        body = {"name": name, "platform": platform, "mode": "BOTH", "symbols": symbols}
        _, made = call(f"{base}/internal/strategies", internal, json.dumps(body).encode())
        found[name] = made["webhook_id"]
    return found


def document(base: str, key: str, hooks: dict[str, str], folder: Path) -> Path:
    """The served document made worth fuzzing: what is available, this run's key, names that exist now."""
    status, found = call(f"{base}/api/v1/openapi.json")
    if status != 200:
        sys.exit(f"openapi.json answered {status}")
    text = json.dumps(found)
    text = re.sub(r'"apikey": \{[^{}]*\}', json.dumps({"apikey": {"const": key}})[1:-1], text)
    found = json.loads(text)
    body = {"apikey": key, "symbol": "NIFTY", "exchange": "NFO", "instrumenttype": "options"}
    _, answer = call(f"{base}/api/v1/expiry", None, json.dumps(body).encode())
    days = [day.replace("-", "") for day in answer["data"]]
    body = {"apikey": key, "query": f"NIFTY{days[0]}", "exchange": "NFO"}
    _, answer = call(f"{base}/api/v1/search", None, json.dumps(body).encode())
    known = {
        "symbol": ["SBIN", "NIFTY", *(row["symbol"] for row in answer["data"][:6])],
        "underlying": ["NIFTY", "SBIN", f"NIFTY{days[0]}FUT"],
        "expiry_date": days,
        "offset": ["ATM", "ITM2", "OTM3", "OTM30"],
    }
    for schema in found["components"]["schemas"].values():
        for name in known.keys() & schema.get("properties", {}).keys():
            schema["properties"][name] = {"anyOf": [{"enum": known[name]}, schema["properties"][name]]}
    found["paths"] = {
        # webhooks have a server of their own, beside /api/v1
        path if "servers" in next(iter(operations.values())) else f"/api/v1{path}": kept
        for path, operations in found["paths"].items()
        if (kept := {method: o for method, o in operations.items() if o["x-available"]})
    }
    for path, operations in found["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "apikey":
                    parameter["schema"] = {"const": key}
                if parameter["name"] == "webhook_id":
                    parameter["schema"] = {"const": hooks[path.split("/")[1]]}
            if path.split("/")[1] in hooks:
                fields = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
                fields |= {
                    name: {"anyOf": [{"enum": ALERT[name]}, fields[name]]} for name in fields.keys() & ALERT
                }
    out = folder / "openapi.json"
    out.write_text(json.dumps(found))
    return out


def failures(log: Path) -> Counter[str]:
    """Requests that ended in our 500, by the last line of their trace."""
    seen: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        if '"request failed"' in line:
            row = json.loads(line)
            trace = str(row.get("exception", row)).strip().splitlines()
            seen[" <- ".join(line.strip()[:200] for line in reversed(trace[-3:]))] += 1
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemathesis", required=True)
    parser.add_argument("--broker", default="dhan")
    parser.add_argument("--examples", default="30")
    parser.add_argument("--seed", default="1")
    options, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="algo-fuzz-") as name:
        home = Path(name)
        write_env(home, options.broker, *WIDE, SMART)
        settings = gateway_settings.load(home, options.broker, Venue.SIM)
        run = [sys.executable, "-m"]
        sim = ["brokers.sim", "--broker", options.broker, "--port", str(settings.sim_port), "--home", name]
        api = ["gateway", "api", "--home", name, "--instance", options.broker, "--venue", "sim"]
        log = home / "api.log"
        with (home / "sim.log").open("wb") as sim_log, log.open("wb") as api_log:
            children = [
                subprocess.Popen([*run, *sim], stdout=sim_log, stderr=sim_log),
                subprocess.Popen([*run, *api], stdout=api_log, stderr=api_log),
            ]
            try:
                end = time.monotonic() + READY_S
                while call(f"{settings.url}/health/ready")[0] != 200:
                    if time.monotonic() > end or children[1].poll() is not None:
                        sys.exit(f"the api process did not become ready: {log.read_text()[-2000:]}")
                    time.sleep(0.1)
                internal = {"X-Algo-Internal": settings.internal_key.reveal()}
                _, made = call(f"{settings.url}/internal/keys", internal, b'{"label": "fuzz"}')
                hooks = webhooks(settings.url, internal)
                command = [options.schemathesis, "run", str(document(settings.url, made["key"], hooks, home))]
                command += ["--url", settings.url, "--checks", "not_a_server_error"]
                command += ["--max-examples", options.examples, "--seed", options.seed]
                done = subprocess.run([*command, *more], cwd=home, check=False)
            finally:
                for child in children:
                    child.terminate()
                for child in children:
                    child.wait(15)
        found = failures(log)
    for trace, count in found.most_common():
        print(f"{count:5d} x {trace}")
    print("no 500" if not found else f"{found.total()} requests ended in a 500")
    # 1 is "found something": other 5xx (a broker that is down, what is not offered) are answers, not crashes
    return 1 if found or done.returncode not in (0, 1) else 0


if __name__ == "__main__":
    sys.exit(main())
