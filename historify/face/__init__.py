"""The DuckDB store people open: ``db/historify.duckdb``, its packed form, and SQL over it."""
