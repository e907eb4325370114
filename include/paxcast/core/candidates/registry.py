"""The candidates that can be named in a fleet's YAML."""

from collections.abc import Mapping

from paxcast.core.candidates import Candidate
from paxcast.core.candidates.prophet import ProphetCandidate
from paxcast.core.candidates.seasonal_naive import SeasonalNaive

CANDIDATES: Mapping[str, Candidate] = {c.name: c for c in (SeasonalNaive(), ProphetCandidate())}
