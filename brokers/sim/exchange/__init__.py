"""The simulated exchange: seeded universe and prices, one matching engine, accounts. No protocol here."""
