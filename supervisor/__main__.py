"""``python -m supervisor`` is ``algo``."""

from supervisor.cli import main

main()
