"""Download jobs, watchlists and schedules: rows in ``control.db`` that any process of the home may write.

``queue.Queue`` (jobs), ``watchlist.Watchlists``, ``schedule.Schedules``; ``model`` holds their values,
``plan`` and ``timing`` what is decided without touching the world.
"""
