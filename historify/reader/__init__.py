"""Reading: the manifest's file list through one in-memory DuckDB per process, made at the first question."""
