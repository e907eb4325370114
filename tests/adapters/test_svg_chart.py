"""The chart: every point where it belongs, well formed, nothing loaded."""

from xml.etree import ElementTree

import pandas as pd
import pytest

from paxcast.adapters import svg_chart
from paxcast.adapters.svg_chart import BandChart, Line

MONTHS = list(pd.date_range("2020-01-01", periods=36, freq="MS"))


def chart_of(known: list[float], forecast: list[float], since: list[float]) -> BandChart:
    ahead = MONTHS[len(known) : len(known) + len(forecast)]
    low, high = ([value * factor for value in forecast] for factor in (0.5, 2.0))
    return BandChart(
        known=Line(MONTHS[: len(known)], known),
        since=Line(ahead[: len(since)], since),
        forecast=Line(ahead, forecast),
        bands={"95 %": (Line(ahead, low), Line(ahead, high))},
        asked=ahead[0],
    )


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in element.attrib["points"].split())]


def drawn(chart: BandChart) -> ElementTree.Element:
    return ElementTree.fromstring(svg_chart.svg(chart))


def test_dates_run_from_left_to_right_and_traffic_from_zero_upwards() -> None:
    root = drawn(chart_of([10.0, 20.0, 0.0], [10.0, 20.0], [5.0]))
    known, forecast, since = (points(line) for line in root.findall("polyline"))
    assert [len(line) for line in (known, forecast, since)] == [3, 2, 1]
    xs = [x for x, _ in [*known, *forecast]]
    assert xs == sorted(xs)
    assert xs[0] == svg_chart.LEFT
    assert xs[-1] == svg_chart.WIDTH - svg_chart.RIGHT
    bottom, top = svg_chart.HEIGHT - svg_chart.BOTTOM, svg_chart.TOP
    # the highest, the upper end of the band, is 40
    assert [y for _, y in known] == pytest.approx([bottom - share * (bottom - top) for share in (0.25, 0.5, 0)])
    (band,) = (points(one) for one in root.findall("polygon"))
    assert len(band) == 4
    assert min(y for _, y in band) == top


def test_the_period_asked_for_is_marked_on_the_forecast_and_on_what_came() -> None:
    root = drawn(chart_of([10.0, 20.0], [10.0, 20.0], [5.0]))
    _, forecast, since = (points(line) for line in root.findall("polyline"))
    marks = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.findall("circle")]
    assert marks == [forecast[0], since[0]]
    assert len(drawn(chart_of([10.0], [10.0], [])).findall("circle")) == 1


def test_what_is_no_number_is_left_out() -> None:
    known = points(drawn(chart_of([10.0, float("nan"), 20.0], [10.0], [])).findall("polyline")[0])
    assert len(known) == 2


def test_without_any_traffic_it_is_drawn_all_the_same() -> None:
    text = svg_chart.svg(chart_of([0.0, 0.0], [0.0], []))
    assert "nan" not in text
    assert "inf" not in text
    ElementTree.fromstring(text)


@pytest.mark.parametrize("most", [0.3, 1, 2.9, 3, 7, 9.99, 1234, 3_500_000])
def test_an_axis_has_three_to_seven_round_steps(most: float) -> None:
    step = svg_chart.nice_step(most)
    assert 1.4 <= most / step < 7
    assert f"{step:e}"[0] in "125"


def test_numbers_on_the_axis_are_short() -> None:
    assert [svg_chart.short(value) for value in (0, 40, 1500, 200_000, 2_500_000)] == [
        "0",
        "40",
        "1.5k",
        "200k",
        "2.5M",
    ]


@pytest.mark.parametrize(("days", "first"), [(20, None), (200, "Feb 2020"), (1500, "2021"), (9000, "2021")])
def test_the_axis_of_time_has_months_or_years_and_not_too_many(days: int, first: str | None) -> None:
    begin = pd.Timestamp("2020-01-05")
    labels = [name for _, name in svg_chart.dates_labelled(begin, begin + pd.Timedelta(days=days))]
    assert len(labels) <= svg_chart.MOST_LABELS
    assert (labels[0] if labels else None) == (first or ("Feb 2020" if days >= 27 else None))


def test_a_line_without_values_has_no_name_in_the_legend() -> None:
    names = [text.text for text in drawn(chart_of([10.0], [10.0], [])).findall("text")]
    assert "came since" not in names
    assert "known then" in names
    assert "came since" in [text.text for text in drawn(chart_of([10.0], [10.0], [5.0])).findall("text")]


def test_values_around_zero_run_to_the_right_edge_upwards_as_high_as_downwards() -> None:
    root = ElementTree.fromstring(svg_chart.lines_svg([0.0, 2.0, -4.0], "CUSUM <of> it", "2021-03-29"))
    (line,) = (points(one) for one in root.findall("polyline"))
    assert [x for x, _ in line] == pytest.approx([svg_chart.LEFT, 507.5, svg_chart.WIDTH - svg_chart.RIGHT])
    middle = svg_chart.LOW / 2
    assert [(middle - y) / 35 for _, y in line] == pytest.approx([0, 0.5, -1])
    assert [text.text for text in root.findall("text")] == ["4", "0", "-4", "CUSUM <of> it", "2021-03-29"]


def test_small_values_around_zero_are_not_blown_up_and_one_alone_is_drawn() -> None:
    (line,) = (points(one) for one in ElementTree.fromstring(svg_chart.lines_svg([0.1], "", "")).findall("polyline"))
    assert line == [(svg_chart.WIDTH - svg_chart.RIGHT, pytest.approx(svg_chart.LOW / 2 - 3.5))]
