"""Drift: which airports' forecasts went wrong for good, told from luck, from a common shock and from a broken feed."""
