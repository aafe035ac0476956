"""The feed process: one broker feed in, WebSocket clients and the ZeroMQ bus out."""
