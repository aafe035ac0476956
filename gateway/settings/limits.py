"""What a process may use before the supervisor calls it degraded, and its lines in an env file. Light."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.envfile import EnvFile


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Of one process; 0: no limit.

    Attributes:
        memory_mb: Resident memory.
        cpu_percent: Of one core.
    """

    descriptors: int = 1000
    threads: int = 400
    memory_mb: float = 600.0
    cpu_percent: float = 90.0


EXAMPLE = """\
# A process that uses more than this for a minute is called degraded; 0: no limit. The values shown are the
# defaults. The feed's memory and CPU: FEED_MEMORY_CRITICAL and FEED_CPU_CRITICAL.
# LIMIT_DESCRIPTORS=1000
# LIMIT_THREADS=400
# LIMIT_MEMORY_MB=600
# LIMIT_CPU_PERCENT=90             # of one core
"""


def read(env: EnvFile) -> ProcessLimits:
    """``LIMIT_…``. Raises ``SettingsError``."""
    usual = ProcessLimits()
    return ProcessLimits(
        int(env.number("LIMIT_DESCRIPTORS", usual.descriptors, 0, 1e6)),
        int(env.number("LIMIT_THREADS", usual.threads, 0, 1e5)),
        env.number("LIMIT_MEMORY_MB", usual.memory_mb, 0, 1e6),
        env.number("LIMIT_CPU_PERCENT", usual.cpu_percent, 0, 1e5),
    )
