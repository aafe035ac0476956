"""Kotak Neo's front end: its REST, both feeds, order feed and scrip master over the simulated exchange."""
