"""The processes: what to do with each (``policy``), and doing it."""
