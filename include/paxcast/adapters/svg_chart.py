"""Charts as inline SVG: a history, a forecast with its intervals, what came since, one period marked; and values in
order around zero.

No script, no network, nothing to load: they are a part of the page that they stand in.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
WIDTH, HEIGHT = 960, 340  # of the whole drawing
LEFT, RIGHT, TOP, BOTTOM = 70, 15, 30, 30  # margins
LOW = 110  # the height of a drawing of values around zero
MOST_LABELS = 12
INK, SINCE, FORECAST, ASKED, FAINT = "#334155", "#b45309", "#0e7490", "#b91c1c", "#e2e8f0"


@dataclass(frozen=True, slots=True)
class Line:
    """Period starts and traffic, in order; values that are no number are left out."""

    ds: Sequence[pd.Timestamp]
    y: Sequence[float]

    def points(self) -> list[tuple[pd.Timestamp, float]]:
        return [(ds, float(y)) for ds, y in zip(self.ds, self.y, strict=True) if math.isfinite(y)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BandChart:
    """`bands`: lower and upper line by name, the widest first. `asked`: the period that is marked. `known_as`: what the
    legend calls the history. It names no line that has no values."""

    known: Line
    since: Line = Line((), ())
    forecast: Line
    bands: dict[str, tuple[Line, Line]]
    asked: pd.Timestamp
    known_as: str = "known then"


@dataclass(frozen=True, slots=True)
class _Scale:
    """From dates and traffic to the drawing. Traffic begins at zero."""

    first: pd.Timestamp
    last: pd.Timestamp
    most: float

    def x(self, ds: pd.Timestamp) -> float:
        share = (ds - self.first) / max(self.last - self.first, pd.Timedelta(days=1))
        return float(LEFT + share * (WIDTH - LEFT - RIGHT))

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.most * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[tuple[pd.Timestamp, float]]) -> str:
        return " ".join(f"{self.x(ds):.1f},{self.y(value):.1f}" for ds, value in points)


def svg(chart: BandChart) -> str:
    """The drawing, for use in a page."""
    scale = _scale(chart)
    parts = [*_axes(scale), *_bands(scale, chart), *_lines(scale, chart), *_mark(scale, chart), *_legend(chart)]
    label = html.escape(f"history and forecast, {chart.asked.date()} marked")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _scale(chart: BandChart) -> _Scale:
    lines = [chart.known, chart.since, chart.forecast, *(line for pair in chart.bands.values() for line in pair)]
    points = [point for line in lines for point in line.points()]
    dates = [chart.asked, *(ds for ds, _ in points)]
    return _Scale(min(dates), max(dates), max([1.0, *(value for _, value in points)]))


def _axes(scale: _Scale) -> list[str]:
    step = nice_step(scale.most)
    parts = []
    for number in range(int(scale.most / step) + 1):
        at = scale.y(number * step)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="{FAINT}"/>')
        parts.append(_text(LEFT - 8, at + 4, short(number * step), "end"))
    for ds, name in dates_labelled(scale.first, scale.last):
        at = scale.x(ds)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{FAINT}"/>')
        parts.append(_text(at, HEIGHT - 10, name, "middle"))
    return parts


def _bands(scale: _Scale, chart: BandChart) -> list[str]:
    parts = []
    for low, high in chart.bands.values():
        there_and_back = [*high.points(), *reversed(low.points())]
        parts.append(f'<polygon points="{scale.path(there_and_back)}" fill="{FORECAST}" fill-opacity="0.16"/>')
    return parts


def _lines(scale: _Scale, chart: BandChart) -> list[str]:
    drawn = [(chart.known, INK, ""), (chart.forecast, FORECAST, ""), (chart.since, SINCE, ' stroke-dasharray="5 3"')]
    parts = []
    for line, color, dash in drawn:
        parts.append(
            f'<polyline points="{scale.path(line.points())}" fill="none" stroke="{color}" stroke-width="1.6"{dash}/>'
        )
    return parts


def _mark(scale: _Scale, chart: BandChart) -> list[str]:
    at = scale.x(chart.asked)
    parts = [f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{ASKED}"/>']
    for line, color in ((chart.forecast, FORECAST), (chart.since, SINCE)):
        for ds, value in line.points():
            if ds == chart.asked:
                parts.append(f'<circle cx="{at:.1f}" cy="{scale.y(value):.1f}" r="4.5" fill="{color}"/>')
    return parts


def _legend(chart: BandChart) -> list[str]:
    lines = ((chart.known, chart.known_as, INK), (chart.forecast, f"forecast, {' and '.join(chart.bands)}", FORECAST))
    drawn = [(name, color) for line, name, color in (*lines, (chart.since, "came since", SINCE)) if line.points()]
    names = [*drawn, (str(chart.asked.date()), ASKED)]
    parts, at = [], float(LEFT)
    for name, color in names:
        parts.append(f'<rect x="{at:.0f}" y="9" width="14" height="4" fill="{color}"/>')
        parts.append(_text(at + 20, 15, name, "start"))
        at += 50 + 7 * len(name)
    return parts


def lines_svg(values: Sequence[float], title: str, last: str) -> str:
    """A small drawing of values in order, the newest at the right, around a line at zero; `last` is the newest's date.

    As high above zero as below, so that two drawings tell at a glance which goes the other way.
    """
    most = max([1.0, *(abs(value) for value in values)])
    middle, half, wide = LOW / 2, LOW / 2 - 20, WIDTH - LEFT - RIGHT
    at = [WIDTH - RIGHT - wide * (len(values) - 1 - i) / max(1, len(values) - 1) for i in range(len(values))]
    path = " ".join(f"{x:.1f},{middle - value / most * half:.1f}" for x, value in zip(at, values, strict=True))
    parts = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="{FAINT}"/>',
        f'<polyline points="{path}" fill="none" stroke="{ASKED}" stroke-width="1.6"/>',
        *(_text(LEFT - 8, middle - sign * half + 4, short(round(sign * most, 1)), "end") for sign in (1, 0, -1)),
        _text(LEFT, 12, title, "start"),
        _text(WIDTH - RIGHT, LOW - 4, last, "end"),
    ]
    label = html.escape(title)
    return f'<svg viewBox="0 0 {WIDTH} {LOW}" width="100%" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" fill="#475569">{html.escape(text)}</text>'
    )


def nice_step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are three to seven steps up to `most`, which is above zero."""
    power = 10.0 ** math.floor(math.log10(most / 3))
    return next(factor * power for factor in (1, 2, 5, 10) if most / (factor * power) < 7)


def short(value: float) -> str:
    """A number for an axis: 1.5M, 200k, 40."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def dates_labelled(first: pd.Timestamp, last: pd.Timestamp) -> list[tuple[pd.Timestamp, str]]:
    """Dates for the axis of time and how they are written: years, or months where there are fewer than three."""
    for step, form, days in (("MS", "%b %Y", 366 * 2), ("YS", "%Y", 10**6)):
        if (last - first).days <= days:
            dates = pd.date_range(first, last, freq=step)
            every = -(-len(dates) // MOST_LABELS) if len(dates) else 1
            return [(ds, ds.strftime(form)) for ds in dates[::every]]
    return []
