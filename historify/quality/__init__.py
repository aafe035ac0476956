"""Is what is stored complete and plausible? Pure checks over bars and the calendar, and a report of them."""
