"""Starts, watches, heals and explains. Sees the gateway's settings and the floor, nothing heavier."""
