"""Zenith. The light half: names, limits, addresses."""

from brokers.spec import BrokerSpec, Capabilities, CredentialField, RateWindow

_EXCHANGES = frozenset({"NSE", "BSE", "NFO", "BFO", "MCX", "NSE_INDEX", "BSE_INDEX"})

SPEC = BrokerSpec(
    name="zenith",
    title="Zenith",
    credentials=(
        CredentialField("ZENITH_CLIENT_ID", "zenith.invalid, profile: the client id", secret=False),
        CredentialField("ZENITH_API_KEY", "zenith.invalid, apps: the key"),
        CredentialField("ZENITH_TOTP_SECRET", "zenith.invalid, security: the TOTP seed", required=False),
    ),
    endpoints={
        "rest": "https://zenith.invalid/v1",
        "feed": "wss://zenith.invalid/feed",
        "order_updates": "wss://zenith.invalid/orders",
        "instruments": "https://zenith.invalid/instruments.csv",
    },
    sim_paths={
        "rest": "http://127.0.0.1:{port}/v1",
        "feed": "ws://127.0.0.1:{port}/feed",
        "order_updates": "ws://127.0.0.1:{port}/orders",
        "instruments": "http://127.0.0.1:{port}/instruments.csv",
    },
    capabilities=Capabilities(
        exchanges=_EXCHANGES,
        intervals={"1m": "minute", "D": "day"},
        history_exchanges=_EXCHANGES,
        history_days={"1m": 2, "D": 365},
        feed_instruments=1000,
        quote_batch=20,
        tag_length=20,
        history_oi=True,
    ),
    order_windows=(RateWindow(10, 1.1),),
    data_windows=(RateWindow(10, 1.1),),
    quote_windows=(RateWindow(5, 1.1),),
    login="API key and TOTP seed",
    session="until 06:00 IST",
)
