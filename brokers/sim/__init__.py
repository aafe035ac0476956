"""Simulated brokers: real servers that speak each broker's own protocol over one simulated exchange."""
