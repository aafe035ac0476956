"""Dhan (DhanHQ v2). The light half: names, limits, addresses."""

from brokers.spec import BrokerSpec, Capabilities, CredentialField, RateWindow

SPEC = BrokerSpec(
    name="dhan",
    title="Dhan",
    credentials=(
        CredentialField("DHAN_CLIENT_ID", "web.dhan.co, profile: the 10-digit client id", secret=False),
        CredentialField(
            "DHAN_ACCESS_TOKEN",
            "web.dhan.co, profile, DhanHQ Trading APIs, Generate access token (lives 24 h)",
            required=False,
        ),
        CredentialField("DHAN_PIN", "the 6-digit Dhan PIN; with DHAN_TOTP_SECRET", required=False),
        CredentialField(
            "DHAN_TOTP_SECRET", "web.dhan.co, profile, DhanHQ APIs, set up TOTP: the seed", required=False
        ),
        # OpenAlgo users: BROKER_API_KEY is `client:::app key`, BROKER_API_SECRET the secret or a token
        CredentialField("BROKER_API_KEY", "OpenAlgo's packed form `client id:::api key`", required=False),
        CredentialField("BROKER_API_SECRET", "the API secret, or an access token", required=False),
    ),
    endpoints={
        "rest": "https://api.dhan.co/v2",
        "auth": "https://auth.dhan.co",
        "feed": "wss://api-feed.dhan.co",
        "depth20": "wss://depth-api-feed.dhan.co/twentydepth",
        "depth200": "wss://full-depth-api.dhan.co/twohundreddepth",
        "order_updates": "wss://api-order-update.dhan.co",
        "instruments": "https://images.dhan.co/api-data/api-scrip-master.csv",
    },
    sim_paths={
        "rest": "http://127.0.0.1:{port}/v2",
        "auth": "http://127.0.0.1:{port}",
        "feed": "ws://127.0.0.1:{port}/feed",
        "depth20": "ws://127.0.0.1:{port}/twentydepth",
        "depth200": "ws://127.0.0.1:{port}/twohundreddepth",
        "order_updates": "ws://127.0.0.1:{port}/order-update",
        "instruments": "http://127.0.0.1:{port}/api-data/api-scrip-master.csv",
    },
    capabilities=Capabilities(
        exchanges=frozenset({"NSE", "BSE", "NFO", "BFO", "MCX", "CDS", "BCD", "NSE_INDEX", "BSE_INDEX"}),
        intervals={"1m": "1", "5m": "5", "15m": "15", "25m": "25", "1h": "60", "D": "D"},
        history_exchanges=frozenset(
            {"NSE", "BSE", "NFO", "BFO", "MCX", "CDS", "BCD", "NSE_INDEX", "BSE_INDEX"}
        ),
        feed_instruments=25_000,
        quote_batch=1000,
        tag_length=25,
        modifications_per_order=25,
        margin_batch=50,
        native_gtt=True,
        # a daily call takes any range; minutes reach back five years, 90 days at a time
        history_days={"1m": 90, "D": 36_500},
        history_years={"1m": 5},
        history_oi=True,
        book_levels={20: frozenset({"NSE", "NFO"}), 200: frozenset({"NSE", "NFO"})},
    ),
    order_windows=(
        RateWindow(9, 1.1),
        RateWindow(240, 60.0),
        RateWindow(950, 3600.0),
        RateWindow(6800, 86400.0),
    ),
    data_windows=(RateWindow(5, 1.1),),
    quote_windows=(RateWindow(1, 1.1),),
    login="access token, or PIN and TOTP seed",
    session="24 h; a new login ends the one before",
)
