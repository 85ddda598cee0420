"""Decisions about nodes: what is observed in, the one next step out; pure."""
