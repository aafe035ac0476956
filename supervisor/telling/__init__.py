"""What happens, as events: kept for ``algo watch``, handed to the user's hooks."""
