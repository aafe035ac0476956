"""An OpenAlgo folder as its users have it: env files, and a database in OpenAlgo's own tables.

The tables are written from what is known of them (names, columns), not by OpenAlgo's code.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from cryptography.fernet import Fernet

KEY = "5f" * 32
HOOK = "11111111-2222-4333-8444-555555555555"
CHARTINK_HOOK = "aaaaaaaa-2222-4333-8444-555555555555"
PEPPER = "d4" * 32
SALT = "0a" * 16

TABLES = """
CREATE TABLE api_keys (id INTEGER PRIMARY KEY, user_id VARCHAR NOT NULL UNIQUE, api_key_hash TEXT NOT NULL,
    api_key_encrypted TEXT NOT NULL, created_at DATETIME, order_mode VARCHAR(20));
CREATE TABLE strategies (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, webhook_id VARCHAR(36) UNIQUE,
    user_id VARCHAR(255), platform VARCHAR(50), mode VARCHAR(10), is_active BOOLEAN, is_intraday BOOLEAN,
    start_time VARCHAR(5), end_time VARCHAR(5), squareoff_time VARCHAR(5), created_at DATETIME);
CREATE TABLE strategy_symbol_mappings (id INTEGER PRIMARY KEY, strategy_id INTEGER, symbol VARCHAR(50),
    exchange VARCHAR(20), segment VARCHAR(20), quantity INTEGER, product_type VARCHAR(10));
CREATE TABLE chartink_strategies (id INTEGER PRIMARY KEY, name VARCHAR(255), webhook_id VARCHAR(36),
    user_id VARCHAR, is_active BOOLEAN, is_intraday BOOLEAN, start_time VARCHAR(5), end_time VARCHAR(5),
    squareoff_time VARCHAR(5));
CREATE TABLE chartink_symbol_mappings (id INTEGER PRIMARY KEY, strategy_id INTEGER,
    chartink_symbol VARCHAR(50),
    exchange VARCHAR(10), quantity INTEGER, product_type VARCHAR(10));
"""


def env_text(broker: str, ports: tuple[int, int, int] = (5000, 8765, 5555), more: str = "") -> str:
    """Both brokers with OpenAlgo's defaults: the same ports, cookies, database and secrets in each file."""
    credentials = {
        "kotak": "BROKER_API_KEY = 'ABC12'\nBROKER_API_SECRET = 'token-of-the-app'\n",
        "dhan": "BROKER_API_KEY = '1000000001:::abcdef12'\nBROKER_API_SECRET = 'secret-of-the-app'\n",
    }[broker]
    return f"""# OpenAlgo Environment Configuration File
ENV_CONFIG_VERSION = '1.0.7'
{credentials}REDIRECT_URL = 'http://127.0.0.1:{ports[0]}/{broker}/callback'
VALID_BROKERS = 'dhan,kotak'
APP_KEY = '{"ab" * 32}'
API_KEY_PEPPER = '{PEPPER}'
FERNET_SALT = '{SALT}'
DATABASE_URL = 'sqlite:///db/openalgo.db'
LATENCY_DATABASE_URL = 'sqlite:///db/latency.db'
NGROK_ALLOW = 'FALSE'
HOST_SERVER = 'http://127.0.0.1:{ports[0]}'
FLASK_HOST_IP='127.0.0.1'
FLASK_PORT='{ports[0]}'
FLASK_DEBUG='False'
WEBSOCKET_HOST='127.0.0.1'
WEBSOCKET_PORT='{ports[1]}'
WEBSOCKET_URL='ws://127.0.0.1:{ports[1]}'
ZMQ_HOST='127.0.0.1'
ZMQ_PORT='{ports[2]}'
LOG_RETENTION = '14'
API_RATE_LIMIT="50 per second"
SESSION_EXPIRY_TIME = '03:00'
CSRF_ENABLED = 'TRUE'
SESSION_COOKIE_NAME = 'session'
CSRF_COOKIE_NAME = 'csrf_token'
{more}"""


def sealed(key: str, pepper: str = PEPPER, salt: bytes = bytes.fromhex(SALT)) -> str:
    """The standard library's PBKDF2, so that the reader's is not judged by itself."""
    derived = hashlib.pbkdf2_hmac("sha256", pepper.encode(), salt, 100_000)
    return Fernet(base64.urlsafe_b64encode(derived)).encrypt(key.encode()).decode()


def make_database(path: Path, encrypted: str | None = None, order_mode: str = "auto") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        row = (1, "owner", "$argon2id$…", encrypted or sealed(KEY), order_mode)
        connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, '2025-01-01', ?)", row)
        strategies = [
            (1, "Nifty", HOOK, "owner", "tradingview", "BOTH", 1, 1, "09:20", "15:00", "15:15", None),
            (2, "Nifty", HOOK.replace("1", "2"), "owner", "others", "LONG", 0, 0, None, None, None, None),
            (
                3,
                "Odd",
                HOOK.replace("1", "3"),
                "owner",
                "python",
                "LONG",
                1,
                1,
                "15:00",
                "09:20",
                "15:15",
                None,
            ),
        ]
        connection.executemany(f"INSERT INTO strategies VALUES ({', '.join('?' * 12)})", strategies)
        mappings = [
            (1, 1, "SBIN", "NSE", "CASH", 5, "MIS"),
            (2, 1, "RELIANCE", "NSE", "CASH", 2, "MIS"),
            (3, 2, "INFY", "NSE", "CASH", 1, "CNC"),
            (4, 2, "INFY", "NSE", "CASH", 3, "CNC"),
        ]
        connection.executemany("INSERT INTO strategy_symbol_mappings VALUES (?, ?, ?, ?, ?, ?, ?)", mappings)
        connection.execute(
            "INSERT INTO chartink_strategies VALUES (1, 'Scan', ?, 'owner', 1, 0, NULL, NULL, NULL)",
            (CHARTINK_HOOK,),
        )
        connection.execute("INSERT INTO chartink_symbol_mappings VALUES (1, 1, 'TCS', 'NSE', 4, 'MIS')")
        connection.commit()
