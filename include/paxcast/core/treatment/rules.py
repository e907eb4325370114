"""The settings of history treatment: plain values, as they stand in a fleet's YAML."""

from dataclasses import dataclass
from datetime import date

from paxcast.core import calendar
from paxcast.core.errors import ConfigurationError

BRIDGE, EVENT, KEEP, CHOOSE = "bridge", "event", "keep", "choose"
MODES = (BRIDGE, EVENT, KEEP, CHOOSE)
ABSENT = ("missing", "zero")
NO_CALENDAR, WEEKDAYS, FEASTS = "none", "weekdays", "holidays"
CALENDARS = (NO_CALENDAR, WEEKDAYS, FEASTS)


@dataclass(frozen=True, slots=True)
class Shock:
    """A known disturbance, from the day `first` to the day `last`, both included. A period that touches it is in it."""

    first: date
    last: date
    name: str

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ConfigurationError(f"shocks: {self.name} ends {self.last}, before it begins {self.first}; turn them")


SHOCKS = (
    Shock(date(2001, 9, 1), date(2001, 11, 30), "after 9/11"),
    Shock(date(2008, 9, 1), date(2009, 12, 31), "financial crisis"),
    Shock(date(2020, 3, 1), date(2022, 2, 28), "Covid-19"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a history is treated. Counts are in periods; None means the default of the frequency.

    `shock_mode`: what becomes of a shock: bridged, taken out as a one-off event, kept, or what the folds choose of
    these (`shock_choice`; until they have, it is bridged).
    """

    absent: str = "missing"  # "zero": a period absent between first and last observation had no traffic
    max_gap: int | None = None  # after a longer gap only the part after it is used ...
    shortest: int | None = None  # ... if it has this many periods
    shocks: tuple[Shock, ...] = SHOCKS
    find_shocks: bool = True
    shock_mode: str = BRIDGE
    least_effect: float = 0.1  # a configured shock that moved the traffic by a smaller share was none here
    outliers: bool = True
    calendar: str = NO_CALENDAR  # what of it is taken out before fitting: nothing, weekdays, or holidays too
    country: str | None = None  # whose public holidays count
    feasts_moved: int = 0  # years, a multiple of 28: public holidays and Easter lie so much later than they did
    tiny_below: float = 10.0  # units of traffic a period, on average: below, chance rules, and it is recorded as tiny

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("absent", self.absent, ABSENT),
            ("shock_mode", self.shock_mode, MODES),
            ("calendar", self.calendar, CALENDARS),
        ):
            if value not in allowed:
                raise ConfigurationError(f"{name}: '{value}' is not one of {', '.join(allowed)}; use one of these")

    def longest_gap(self, frequency: str) -> int:
        """The longest gap that is interpolated, in periods of that frequency."""
        return calendar.frequency(frequency).max_gap if self.max_gap is None else self.max_gap

    def shortest_part(self, frequency: str) -> int:
        """How many periods a part of a history needs to be used without what was before it."""
        return calendar.frequency(frequency).shortest_train if self.shortest is None else self.shortest
