"""An instance's env file, read once into a frozen value. Nothing else in the project reads the environment.

Light on purpose (no Flask, SQLAlchemy, sockets): the supervisor imports it too. One module a subject: its
rules as a value, how they are read, and the lines ``algo init`` writes about them (``EXAMPLE``).
"""

from __future__ import annotations

from gateway.settings.envfile import PLACEHOLDER, PUBLIC_SAMPLES, EnvFile
from gateway.settings.feed import StreamRules
from gateway.settings.instance import Settings, load
from gateway.settings.paths import FIRST_PORTS, FIXED_STEP, NAME, Databases, databases, instance_names
from gateway.settings.ratelimits import RateLimits
from gateway.settings.trading import TradingRules

__all__ = [
    "FIRST_PORTS",
    "FIXED_STEP",
    "NAME",
    "PLACEHOLDER",
    "PUBLIC_SAMPLES",
    "Databases",
    "EnvFile",
    "RateLimits",
    "Settings",
    "StreamRules",
    "TradingRules",
    "databases",
    "instance_names",
    "load",
]
