"""What each setting means, for people. A setting without a line here fails a test."""

from __future__ import annotations

from collections.abc import Mapping

RUPEES = "rupees above 0; off unless set."
COUNT = "a whole number above 0; off unless set."

BROKER = {
    "BROKER": "`kotak` or `dhan`. Without it: the broker in OpenAlgo's `REDIRECT_URL`, else the "
    "instance's own name.",
    "KOTAK_FEED": "Which of Kotak's market feeds: `sfeed`, `hsm`, or `auto`, which takes the other one "
    "when one is mute.",
    "KOTAK_PATHS": "Kotak's REST paths: `current`, or `apim` for the older family.",
    "KOTAK_LOGIN_LEAD_MINUTES": "Minutes before the end of a session at which the next one is made. A login "
    "before 00:00 IST gains nothing at Kotak, so leave it.",
    "AUTO_LOGIN": "`yes`: log in with the stored TOTP seed although nobody asked. See "
    "[TOTP](../brokers/totp.md).",
    "ROLES": "Some of `feed`, `execute`, `control`. Without `feed` no ticks; without `execute` no "
    "orders but exits; "
    "without `control` no leases.",
    "OPEN_DEADLINE_MINUTES": "Not ready this many minutes before the first open of its exchanges is an "
    "alarm.",
    "EGRESS_IP_URL": "A page of your choice that answers with the caller's public address. Empty: "
    "nobody is asked.",
    "REGISTERED_IP": "Addresses your broker takes orders from, separated by commas. Dhan is asked itself.",
}
PLACES = {
    "FLASK_PORT": "REST API and pages.",
    "WEBSOCKET_PORT": "Ticks over WebSocket.",
    "ZMQ_PORT": "Ticks over ZeroMQ.",
    "SIM_PORT": "The simulated broker, one for all instances of that broker.",
    "CONSOLE_PORT": "The page of all instances; the same in every file.",
    "ROUTE_PORT": "One address for orders of all instances; the same in every file.",
    "HISTORIFY_PORT": "Health of the process that fills the market-data store; the same in every file.",
    "FLASK_HOST_IP": "Address the web port listens on. Anything but loopback is seen by others: read "
    "[Security](../security.md) first.",
    "WEBSOCKET_HOST": "The same for the WebSocket.",
    "ZMQ_HOST": "The same for ZeroMQ, which knows no keys: keep it on loopback.",
    "HOST_SERVER": "The public address, if a proxy stands in front; webhook addresses are printed with it.",
    "ALLOWED_HOSTS": "More names a request's `Host` may carry, separated by commas.",
    "TRUSTED_PROXIES": "Addresses or networks whose `X-Forwarded-For` is believed.",
}
SECRETS = {
    "APP_KEY": "Signs cookies and the calls between an instance's own processes. Each instance has its own.",
    "API_KEY_PEPPER": "Goes into every stored API key and password. Changing it ends all of them.",
    "FERNET_SALT": "Goes into the key that seals stored broker sessions.",
    "SESSION_COOKIE_NAME": "Cookie of the pages. Two instances on one host name need two.",
    "CSRF_COOKIE_NAME": "The cookie beside it.",
}
FILES = {
    "DATABASE_URL": "Orders, keys, users, instruments. A path under the home, `sqlite:///` allowed "
    "before it.",
    "LOGS_DATABASE_URL": "Requests, for the page Traffic.",
    "LATENCY_DATABASE_URL": "Stage times of orders.",
    "SANDBOX_DATABASE_URL": "Paper trading.",
}
ORDERS = {
    "ROUTE": "Instances an order sent to the route may go to, in the fixed order. Empty: no route.",
    "ROUTE_DATA": "The one whose market data the route answers with. Empty: the first of `ROUTE`.",
    "ORDER_MODE": "`semi_auto`: orders wait for your word, see `algo approvals`.",
    "ORDER_DEADLINE_SECONDS": "An order that the broker's limits keep back longer is answered "
    "`RATE_LIMITED`.",
    "BROKER_TIMEOUT_SECONDS": "Longest wait for a broker's answer to an order; then its outcome is "
    "`unknown`.",
    "RECONCILE_POSITIONS_SECONDS": "How often positions are compared with the broker's.",
    "RECONCILE_ORDERS_SECONDS": "How often pending orders are.",
    "GTT_MISSED": "`fire`: also send a GTT whose price was there while the gateway was down and is gone.",
}
RISK = {
    "RISK_MAX_ORDER_VALUE": f"Largest value of one order: {RUPEES}",
    "RISK_MAX_ORDER_QUANTITY": f"Largest quantity of one order: {COUNT}",
    "RISK_MAX_OPEN_ORDERS": f"Most orders working at a time: {COUNT}",
    "RISK_ORDERS_PER_MINUTE": f"Orders of each strategy in any minute: {COUNT}",
    "RISK_DATA_PER_MINUTE": f"Market-data requests of each strategy in any minute: {COUNT}",
    "RISK_EXCHANGES": "The only exchanges, such as `NSE,NFO`; off unless set.",
    "RISK_PRODUCTS": "The only products, such as `MIS,CNC`; off unless set.",
    "RISK_DAY_LOSS": f"Realised and open loss of the day at which entries stop until tomorrow or a "
    f"resume: {RUPEES}",
    "RISK_DAY_LOSS_CLOSE": "`true`: also close every position then.",
    "RISK_CHECK_MARGIN": "`true`: ask the broker for the margin before each order; costs two requests.",
    "RISK_MARGIN_UNKNOWN": "What happens to an order whose margin could not be asked.",
    "RISK_SQUARE_OFF": "Close intraday positions at an IST time (`15:15`) or so long before each close "
    "(`15m`); off "
    "unless set.",
    "RISK_SQUARE_OFF_PRODUCTS": "Of which products; `MIS` unless set.",
}
FEED = {
    "SYMBOLS": "Subscribed from the start: `NSE:SBIN,NFO:NIFTY24NOV26FUT`. A bare name means NSE.",
    "WATCHLIST": "The same; OpenAlgo users know it under this name.",
    "SYMBOLS_FILE": "A file under the home with one symbol a line; `#` begins a comment.",
    "MAX_SYMBOLS": "Most instruments at a time; the default is what the broker's feed carries.",
    "STALE_AFTER_SECONDS": "Without a tick for so long in session a subscription is called stale.",
    "HEARTBEAT_LOG_SECONDS": "One line about the feed in its log every so many seconds; `0`: none.",
    "WS_AUTH_GRACE_SECONDS": "A WebSocket client that has not shown its key by then is closed.",
    "WS_MAX_QUEUE": "Messages kept for a slow client; beyond, it gets the newest of each symbol.",
    "WS_PING_INTERVAL": "Seconds between two pings.",
    "WS_PING_TIMEOUT": "A client that does not answer a ping for so long is closed.",
    "FEED_COVERAGE_WARNING": "Fewer percent of the subscribed symbols in session live: a warning.",
    "FEED_COVERAGE_CRITICAL": "Fewer: critical.",
    "FEED_PARSE_ERRORS_WARNING": "More percent of unreadable frames: a warning.",
    "FEED_PARSE_ERRORS_CRITICAL": "More: critical.",
    "FEED_LATENCY_WARNING": "More milliseconds from a frame's arrival to every consumer (p99): a warning.",
    "FEED_LATENCY_CRITICAL": "More: critical.",
    "FEED_MEMORY_WARNING": "More MB: a warning.",
    "FEED_MEMORY_CRITICAL": "More: critical.",
    "FEED_CPU_WARNING": "More percent of a core: a warning.",
    "FEED_CPU_CRITICAL": "More: critical.",
}
RATES = {
    "API_RATE_LIMIT": "Requests of one caller to the REST API. `10 per second`; several joined by `;`.",
    "ORDER_RATE_LIMIT": "Order requests.",
    "SMART_ORDER_RATE_LIMIT": "`placesmartorder`.",
    "WEBHOOK_RATE_LIMIT": "Alerts.",
    "STRATEGY_RATE_LIMIT": "Requests to the strategy endpoints.",
    "LOGIN_RATE_LIMIT_MIN": "Sign-ins to the pages.",
    "LOGIN_RATE_LIMIT_HOUR": "The same over an hour; both hold.",
}
STORE = {
    "HISTORIFY_DATABASE_URL": "Where candles are kept: a path (default `db/historify.duckdb`) or "
    "`postgresql://…`.",
    "HISTORIFY_DATABASE_PATH": "The same; OpenAlgo has both names.",
    "HISTORIFY_PULLER": "Whose broker fills the store, standbys after it: `dhan,kotak`.",
    "HISTORIFY_ROLE": "`reader`: this instance never pulls; `puller`: the same as naming it above.",
    "HISTORIFY_PUBLISH_SECONDS": "How often `db/historify.duckdb` shows what is new.",
    "LATENCY_KEEP_DAYS": "Days that stage times of single orders are kept; histograms stay for good.",
}
PAPER = {
    "PAPER_TRADING": "`true`: begin in analyze mode. A later switch by `analyzer/toggle` is kept.",
    "SANDBOX_STARTING_CAPITAL": "Rupees of the paper account.",
    "SANDBOX_EQUITY_MIS_LEVERAGE": "Rupees of value one rupee of margin carries: equity intraday.",
    "SANDBOX_EQUITY_CNC_LEVERAGE": "Equity delivery.",
    "SANDBOX_FUTURES_LEVERAGE": "Futures.",
    "SANDBOX_OPTION_BUY_LEVERAGE": "Options bought.",
    "SANDBOX_OPTION_SELL_LEVERAGE": "Options sold.",
    "SANDBOX_NSE_BSE_SQUARE_OFF": "IST; intraday positions of NSE, BSE, NFO and BFO are closed then.",
    "SANDBOX_CDS_BCD_SQUARE_OFF": "Of CDS and BCD.",
    "SANDBOX_MCX_SQUARE_OFF": "Of MCX.",
    "SANDBOX_NCDEX_SQUARE_OFF": "Of NCDEX and NCO.",
    "SANDBOX_RESET_DAY": "`never`, or a weekday such as `Sunday`: begin anew at 00:00 IST.",
    "SANDBOX_PRICE_AGE_SECONDS": "An older price fills nothing.",
    "SANDBOX_PRICE_WAIT_SECONDS": "How long a market order waits for a first price.",
}
LOGS = {
    "LOG_LEVEL": "How much the processes write.",
    "LOG_MAX_MB": "A log is put aside at this size outside market hours, at four times the size at any hour, "
    "and every day at 00:00 IST.",
    "LOG_RETENTION": "Days that logs are kept.",
    "LOG_KEEP_MB": "All logs of one process together; the oldest go first.",
    "LIMIT_DESCRIPTORS": "A process that has more files open for a minute is called degraded; `0`: no limit.",
    "LIMIT_THREADS": "More threads.",
    "LIMIT_MEMORY_MB": "More memory.",
    "LIMIT_CPU_PERCENT": "More of one core.",
    "HOOK_COMMAND": "A program told of events, as JSON on its standard input. No shell.",
    "HOOK_URL": "The same as a POST.",
    "HOOK_EVENTS": "Which events, separated by commas; all unless set. "
    "[Their names](../operations/index.md#being-told).",
}
SIMULATION = {
    "SIM_HOURS": "With `--sim`: `always` open, or the exchanges' hours.",
    "SIM_UNIVERSE": "About a thousand instruments, or as many as a real broker has.",
    "SIM_SEED": "Another number, other prices.",
}
GROUPS: Mapping[str, Mapping[str, str]] = {
    "The broker day": BROKER,
    "Ports and addresses": PLACES,
    "Secrets and cookies": SECRETS,
    "Databases": FILES,
    "Orders": ORDERS,
    "Risk limits": RISK,
    "The feed": FEED,
    "Request limits": RATES,
    "Market data and latency": STORE,
    "Paper trading": PAPER,
    "Logs, limits and hooks": LOGS,
    "Simulated brokers": SIMULATION,
}
MEANINGS: Mapping[str, str] = {name: text for group in GROUPS.values() for name, text in group.items()}
