"""Strategies that send alerts, and orders that wait: for a person's word, or for their turn."""
