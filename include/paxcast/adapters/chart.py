"""One airport's forecast as a small picture: its last seasons, the folds as the combination had them, what comes next.

Drawn by matplotlib's Agg canvas without pyplot: no window, no state between pictures, the same bytes for the same
numbers.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]
MOST_BYTES = 60 * 1024
INCHES, DOTS = (6.4, 2.8), 90
HISTORY, FOLDS, FORECAST = "#57606a", "#c9a227", "#0969da"


@dataclass(frozen=True, slots=True)
class Line:
    """`ds`: [N] period starts, `y`: [N] traffic."""

    ds: Days
    y: Array


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, in one unit of traffic."""

    title: str
    history: Line
    folds: Sequence[Line]
    forecast: Line


def png(picture: Picture) -> bytes:
    """The picture as a PNG, at most MOST_BYTES. Raises ValueError if it became larger."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DOTS)
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.1, 0.88, 0.78))
    for number, fold in enumerate(picture.folds):
        axes.plot(fold.ds, fold.y, color=FOLDS, linewidth=1.2, label="folds" if not number else None)
    axes.plot(picture.history.ds, picture.history.y, color=HISTORY, linewidth=1.2, label="history")
    axes.plot(picture.forecast.ds, picture.forecast.y, color=FORECAST, linewidth=1.8, label="forecast")
    axes.set_ylim(bottom=0)
    axes.set_title(picture.title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(fontsize=7, loc="upper left", ncols=3, frameon=False)
    written = io.BytesIO()
    canvas.print_png(written)
    drawn = written.getvalue()
    if len(drawn) > MOST_BYTES:
        raise ValueError(f"{picture.title}: the chart has {len(drawn)} bytes, more than {MOST_BYTES}")
    return drawn
