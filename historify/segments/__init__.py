"""Bars on disk: immutable Parquet files and the rows of ``control.db`` that say which of them count.

``manifest``, ``damage``, ``periods`` and ``inbox`` are light; ``columns``, ``files``, ``writer`` and
``migrate`` load pyarrow (or DuckDB) and are imported only where bars are written.
"""
