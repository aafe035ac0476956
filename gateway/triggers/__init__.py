"""Good-till-triggered orders: kept by the broker where it can, by this gateway where it cannot."""
