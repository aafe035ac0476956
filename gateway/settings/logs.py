"""How long an instance's logs are kept. ``LOG_RETENTION`` is OpenAlgo's name, in days."""

from __future__ import annotations

from brokers.logrotate import MB, LogRules
from gateway.settings.envfile import EnvFile

EXAMPLE = """\

# Logs of each process; the values shown are the defaults.
# LOG_MAX_MB=50                    # put aside at this size (in market hours at 4 times), and at 00:00 IST
# LOG_RETENTION=14                 # days they are kept
# LOG_KEEP_MB=1000                 # together, of one process; the oldest go first
"""


def read(env: EnvFile) -> LogRules:
    """Raises ``SettingsError``."""
    return LogRules(
        max_bytes=int(env.number("LOG_MAX_MB", 50, 0.001, 10_000) * MB),
        keep_days=int(env.number("LOG_RETENTION", 14, 1, 3650)),
        keep_bytes=int(env.number("LOG_KEEP_MB", 1000, 1, 1_000_000) * MB),
    )
