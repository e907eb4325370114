"""Paxcast forecasts passenger traffic for a fleet of airports, one model per airport, and keeps them fresh."""

__version__ = "0.1.0"
