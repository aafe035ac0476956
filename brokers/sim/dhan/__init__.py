"""Dhan's front end: its REST, feeds and instrument file over the simulated exchange."""
