"""Examples and exit codes of the command line, in one place and checked by a test.

A command's own docstring may hold examples; for those that have none, these are shown.
"""

from __future__ import annotations

from collections.abc import Mapping

EXIT_CODES = """\
\b
Exit codes:
  0    done
  1    something failed, or a finding of `algo doctor` stands
  2    wrong use or wrong settings; nothing was started or changed
  3    `algo run` only: its port is taken (0, 1 and 2 as above, 128+N: ended by signal N)"""

COMPLETION = """\
\b
Completion of commands and options, in the start-up file of your shell:
  bash   eval "$(_ALGO_COMPLETE=bash_source algo)"
  zsh    eval "$(_ALGO_COMPLETE=zsh_source algo)"
  fish   _ALGO_COMPLETE=fish_source algo | source"""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "restart": ("algo restart", "algo restart dhan"),
    "status": ("algo status", "algo status --json", "algo status --watch dhan"),
    "watch": ("algo watch", "algo watch dhan --once"),
    "login": ("algo login kotak", "algo login kotak --totp 123456"),
    "key create": ("algo key create dhan --label amibroker", "algo key create dhan --quiet"),
    "key list": ("algo key list dhan",),
    "key revoke": ("algo key revoke dhan 3",),
    "route key create": ("algo route key create --label breakout", "algo route key create --quiet"),
    "route key list": ("algo route key list",),
    "route key revoke": ("algo route key revoke 2",),
    "route orders": ("algo route orders", "algo route orders --count 100 --json"),
    "strategy create": (
        "algo strategy create dhan Breakout --symbol NSE:SBIN:5:MIS --symbol NSE:INFY:2:MIS",
        "algo strategy create dhan Nifty --mode BOTH --start 09:20 --end 15:00 --square-off 15:15",
    ),
    "strategy list": ("algo strategy list dhan",),
    "strategy add": ("algo strategy add dhan Breakout NSE:TCS:1:MIS",),
    "strategy remove": ("algo strategy remove dhan Breakout TCS",),
    "strategy enable": ("algo strategy enable dhan Breakout",),
    "strategy disable": ("algo strategy disable dhan Breakout",),
    "strategy delete": ("algo strategy delete dhan Breakout",),
    "strategy leases": ("algo strategy leases dhan",),
    "strategy exclusive": (
        "algo strategy exclusive dhan Breakout lease",
        "algo strategy exclusive dhan Breakout no",
    ),
    "strategy free": ("algo strategy free dhan Breakout",),
    "strategy alerts": ("algo strategy alerts dhan --json",),
    "approvals list": ("algo approvals list dhan", "algo approvals list dhan --all"),
    "approvals approve": ("algo approvals approve dhan 12 13",),
    "approvals reject": ("algo approvals reject dhan 12",),
    "approvals mode": ("algo approvals mode dhan semi_auto",),
    "history jobs list": ("algo history jobs list", "algo history jobs list --limit 5 --json"),
    "history jobs show": ("algo history jobs show 12",),
    "history jobs pause": ("algo history jobs pause 12",),
    "history jobs resume": ("algo history jobs resume 12",),
    "history jobs cancel": ("algo history jobs cancel 12",),
    "history jobs retry": ("algo history jobs retry 12",),
    "history schedule list": ("algo history schedule list",),
    "history puller": ("algo history puller", "algo history puller kotak"),
    "history status": ("algo history status", "algo history status --json"),
    "orders list": ("algo orders list", "algo orders list dhan --json"),
    "orders unknown": ("algo orders unknown",),
    "record": ("algo record dhan --for 60",),
    "replay": ("algo replay db/record/dhan.rec --speed 10",),
    "backup": ("algo backup", "algo backup friday.tar.gz.enc --encrypt"),
    "restore": ("algo restore friday.tar.gz.enc",),
    "run": (
        "algo run dhan api",
        "algo run kotak feed --bind 0.0.0.0 --allow-host kotak-feed",
        "algo run historify",
    ),
    "export systemd": ("algo export systemd", "algo export systemd --to units --user trader"),
    "export compose": ("algo export compose kotak dhan --to deploy",),
    "panic": ("algo panic", "algo panic --resume"),
    "instruments sync": ("algo instruments sync dhan",),
    "sim": ("algo sim", "algo sim dhan --port 5601"),
}


def epilog(path: str) -> str:
    """Examples of a command such as ``key create``, as click shows them; empty when there are none."""
    lines = EXAMPLES.get(path, ())
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else ""
