"""The one thing ``engine`` raises that never leaves this folder."""


class ReadFailed(Exception):
    """DuckDB could not carry out a query; the reader finds out whether a file is at fault."""
