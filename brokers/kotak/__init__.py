"""Kotak Neo. The light half: names, limits, addresses."""

from brokers.spec import BrokerSpec, Capabilities, CredentialField, RateWindow

SPEC = BrokerSpec(
    name="kotak",
    title="Kotak Neo",
    aliases=("kotak_neo",),
    credentials=(
        CredentialField("KOTAK_UCC", "Neo app, profile: the client code (UCC)", secret=False),
        CredentialField("KOTAK_MOBILE_NUMBER", "the registered mobile, with +91"),
        CredentialField("KOTAK_MPIN", "the 6-digit MPIN of the Neo app"),
        CredentialField(
            "BROKER_API_SECRET",
            "Neo app, More, Trade API: the access token of your app (OpenAlgo keeps it here)",
            aliases=("KOTAK_CONSUMER_KEY",),
        ),
        CredentialField(
            "BROKER_API_KEY", "OpenAlgo's Kotak users keep the UCC here", required=False, secret=False
        ),
        CredentialField(
            "KOTAK_TOTP_SECRET",
            "Neo web, More, Trade API, TOTP registration: the seed (opt-in: lets algo log in by itself)",
            required=False,
        ),
    ),
    endpoints={
        "login": "https://mis.kotaksecurities.com",
        "config": "https://lapi.kotaksecurities.com/5config/config",
        "hsm": "wss://mlhsm.kotaksecurities.com",
        "sfeed": "wss://sfeed.kotaksecurities.com/apifeed",
    },
    sim_paths={
        "login": "http://127.0.0.1:{port}",
        "config": "http://127.0.0.1:{port}/5config/config",
        "hsm": "ws://127.0.0.1:{port}/hsm",
        "sfeed": "ws://127.0.0.1:{port}/apifeed",
    },
    capabilities=Capabilities(
        exchanges=frozenset({"NSE", "BSE", "NFO", "BFO", "MCX", "CDS", "NSE_INDEX", "BSE_INDEX"}),
        intervals={
            "1m": "1min",
            "3m": "3min",
            "5m": "5min",
            "10m": "10min",
            "15m": "15min",
            "30m": "30min",
            "1h": "60min",
            "D": "D",
            "W": "W",
        },
        history_exchanges=frozenset({"NSE", "BSE", "NFO", "BFO", "NSE_INDEX", "BSE_INDEX"}),
        history_days={"1m": 30, "D": 180},
        history_years={"1m": 5, "D": 5},
        feed_instruments=3000,
        quote_batch=40,
        tag_length=20,
    ),
    order_windows=(RateWindow(9, 1.1),),
    data_windows=(RateWindow(20, 1.1),),
    quote_windows=(RateWindow(20, 1.1),),
    login="mobile, MPIN and TOTP (typed, or from a seed)",
    session="until 00:00 IST",
    retired={
        "KOTAK_CONSUMER_SECRET": "unused since 2025; the app's access token goes to BROKER_API_SECRET",
        "KOTAK_PASSWORD": "password logins are retired; KOTAK_MPIN and a TOTP code take its place",
    },
    options={
        "KOTAK_FEED": "auto",  # auto | sfeed | hsm
        "KOTAK_PATHS": "current",  # current | apim (the 2.0.0 client's REST paths)
        # a login before 00:00 IST makes a session that ends at 00:00 IST too: it gains nothing
        "KOTAK_LOGIN_LEAD_MINUTES": "0",
    },
)
