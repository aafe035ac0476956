"""An instance's SQLite databases."""
