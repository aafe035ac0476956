"""Candles in and out of the store: CSV and Parquet in; CSV, TXT, ZIP, Parquet and data frames out.

``frame`` is what a notebook wants::

    from historify.portable.frames import frame
    bars = frame("db/historify.duckdb", "NSE", "SBIN", "15m", "2026-01-01", "2026-06-30")
"""
