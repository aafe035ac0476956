"""The simulated exchange: one seeded universe, seeded prices, one matching engine, accounts. No protocol here."""
