"""What changed in an airport's inputs: each measure against an oracle that goes value by value, and what is said."""

from collections.abc import Iterable, Mapping
from itertools import product
from math import comb, isfinite, log, nan, sqrt
from statistics import mean, median, pstdev

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from paxcast.core.drift import inputs
from paxcast.core.drift.inputs import Finding, findings
from paxcast.core.drift.traffic import on_grid
from paxcast.core.errors import ConfigurationError

Array = npt.NDArray[np.float64]
STEP = {"D": "D", "W": "7D", "MS": "MS"}
YEAR = {"D": 364, "W": 52, "MS": 12}


def history(series: Mapping[str, Iterable[float]], frequency: str = "MS") -> pd.DataFrame:
    """The rows of what is not NaN; all series end on one day."""
    rows = []
    for airport, values in series.items():
        y = np.asarray(list(values), dtype=float)
        ds = pd.date_range(
            end="2019-12-02" if frequency != "MS" else "2019-12-01", periods=len(y), freq=STEP[frequency]
        )
        rows.append(pd.DataFrame({"airport": airport, "ds": ds, "y": y}).dropna())
    return pd.concat(rows, ignore_index=True)


def steady(frequency: str = "MS", years: int = 6, *, noise: float = 0.02, seed: int = 1) -> Array:
    year, rng = YEAR[frequency], np.random.default_rng(seed)
    at = np.arange(years * year)
    return 20_000 * (1 + 0.4 * np.sin(2 * np.pi * at / year)) * np.exp(rng.normal(0, noise, years * year))


def said(row: Array, frequency: str = "MS", *, absent: str = "missing") -> dict[str, str]:
    """What is said of an airport: what -> the sentence. Others end on the same day."""
    others = {f"B{at}": steady(frequency, seed=10 + at) for at in range(3)}
    found = findings(history({"AAA": row, **others}, frequency), frequency, 8, {}, {}, None, absent=absent)
    assert len({f.what for f in found["AAA"]}) == len(found["AAA"])
    return {f.what: f.detail for f in found["AAA"]}


def odd_values(airports: int, cycles: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    y = rng.lognormal(8, 0.3, (airports, cycles))
    return np.where(rng.random(y.shape) < 0.15, rng.choice([np.nan, 0.0], y.shape), y)


@pytest.mark.parametrize("frequency", YEAR)
@pytest.mark.parametrize("absent", ["missing", "zero"])
def test_nothing_is_said_of_an_airport_that_goes_on_as_before(frequency, absent):
    assert said(steady(frequency), frequency, absent=absent) == {}


# --- cycles


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize("per", [1, 7])
def test_cycles_hold_the_mean_and_the_counts_of_their_periods_and_end_with_the_newest(per, absent):
    y = odd_values(6, 40, 3)
    y[2, :17] = np.nan
    y[3, :] = np.nan
    traffic = on_grid(history({f"A{at}": row for at, row in enumerate(y)}, "D"), "D", pd.Timestamp("2019-12-02"), 40)
    found = inputs.in_cycles(traffic, per, absent)
    assert found.mean.shape == (5, -(-40 // per))  # without the one that has no row
    for at, cycle in product(range(5), range(found.mean.shape[1])):
        end = 40 - per * (found.mean.shape[1] - 1 - cycle)
        row = y[[0, 1, 2, 4, 5][at]]
        first = next(t for t in range(40) if isfinite(row[t]))
        due = [t for t in range(max(end - per, 0), end) if t >= first]
        values = [row[t] for t in due if isfinite(row[t])]
        if absent == "zero":
            values += [0.0] * (len(due) - len(values))
        assert found.due[at, cycle] == len(due)
        assert found.given[at, cycle] == len(values)
        assert found.zero[at, cycle] == sum(v == 0 for v in values)
        assert found.mean[at, cycle] == pytest.approx(mean(values) if values else nan, nan_ok=True)


# --- against the airport's own past


@pytest.mark.parametrize(("window", "power"), [(8, 1), (8, 2), (1, 1), (5, 2)])
def test_a_windows_mean_is_that_of_what_is_known_of_it_where_half_is(window, power):
    values = odd_values(5, 40, 4)
    values[0, 10:20] = np.nan
    found = inputs.windows(values, window, power)
    for at, t in product(range(5), range(40)):
        known = [v**power for v in values[at, max(t - window + 1, 0) : t + 1] if isfinite(v)]
        enough = len(known) >= window / 2
        assert found[at, t] == pytest.approx(mean(known) if enough else nan, nan_ok=True)


def test_a_change_is_the_logarithm_of_a_value_over_that_of_the_year_before():
    values = odd_values(4, 30, 5)
    found = inputs.log_change(values, 12)
    for at, t in product(range(4), range(30)):
        now, then = values[at, t], values[at, t - 12] if t >= 12 else nan
        expected = (log(now / then) if now > 0 else now * 0 - np.inf) if then > 0 else nan
        assert found[at, t] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(inputs.log_change(values[:, :9], 12)).all()


def test_how_unusual_a_measure_is_goes_by_the_windows_that_do_not_overlap_the_newest():
    measure = odd_values(6, 60, 6)
    measure[0], measure[2] = np.nan, np.nan
    measure[0, -20:], measure[2, -19:] = range(20), range(19)  # 12 that do not overlap, and 11
    measure[1] = 5.0
    usual, off = inputs.unusual(measure, 8, 36)
    for at in range(6):
        before = [v for v in measure[at, 60 - 8 - 36 : 60 - 8] if isfinite(v)]
        middle = median(before) if len(before) >= 12 else nan
        stray = max(1.4826 * median([abs(v - middle) for v in before]), 0.01) if len(before) >= 12 else nan
        assert usual[at] == pytest.approx(middle, nan_ok=True)
        assert off[at] == pytest.approx((measure[at, -1] - middle) / stray, nan_ok=True)
    assert np.isfinite(off[0])
    assert np.isnan(off[2])


@pytest.mark.parametrize("frequency", YEAR)
def test_a_new_level_is_told_with_what_is_usual(frequency):
    row, cycles = steady(frequency), 8 * (7 if frequency == "D" else 1)
    row[-cycles:] *= 0.65
    detail = said(row, frequency)["level"]
    name = "months" if frequency == "MS" else "weeks"
    assert detail.startswith(f"the last 8 {name} have 0.6")
    assert "times the traffic of those a year before; " in detail
    assert "robust standard deviations off" in detail
    row[-cycles:] *= 1.43  # 7 % below: not worth telling
    assert "level" not in said(row, frequency)


def test_the_level_that_is_told_is_the_ratio_of_two_means():
    row = steady(noise=0.2)
    row[-8:] *= 4
    ratios = [mean(row[t - 7 : t + 1]) / mean(row[t - 19 : t - 11]) for t in range(len(row) - 44, len(row) - 8)]
    logs = [log(r) for r in ratios]
    stray = 1.4826 * median(abs(v - median(logs)) for v in logs)
    now = log(mean(row[-8:]) / mean(row[-20:-12]))
    assert said(row)["level"] == (
        f"the last 8 months have {np.exp(now):.3g} times the traffic of those a year before; "
        f"{np.exp(median(logs)):.3g} times is usual ({(now - median(logs)) / stray:.1f} robust standard deviations off)"
    )


def test_an_airport_without_traffic_is_told_so():
    row = steady()
    row[-8:] = 0
    before = mean(row[-20:-12])
    assert said(row)["level"] == f"no traffic in the last 8 months; {before:,.3g} on average in those a year before"


@pytest.mark.parametrize("frequency", ["W", "MS"])
def test_changes_that_stray_more_are_told_with_their_spread(frequency):
    row, year = steady(frequency), YEAR[frequency]
    row[-8:] *= [1.4, 0.7, 1.3, 0.8, 1.4, 0.7, 1.2, 0.7]
    changes = [[log(row[t - k] / row[t - k - year]) for k in range(8)] for t in range(len(row))]
    spreads = [log(max(pstdev(c), 0.01)) for c in changes[len(row) - 8 - 3 * year : len(row) - 8]]
    now = log(pstdev(changes[-1]))
    off = (now - median(spreads)) / (1.4826 * median(abs(s - median(spreads)) for s in spreads))
    percent = [100 * (np.exp(np.exp(s)) - 1) for s in (now, median(spreads))]
    name = "months" if frequency == "MS" else "weeks"
    assert said(row, frequency)["variance"] == (
        f"changes on the year before stray by {percent[0]:.3g} % in the last 8 {name}; {percent[1]:.3g} % is usual "
        f"({off:.1f} robust standard deviations off)"
    )


def test_traffic_that_became_steadier_is_no_finding():
    row = steady(noise=0.3)
    row[-8:] = row[-20:-12]
    assert "variance" not in said(row)


def test_two_years_are_too_few_to_say_what_is_usual_of_level_and_variance():
    row = steady(years=3)[:31]  # 12 + 8 - 1 before the first, 8 not counted, and 12 are asked for
    row[-8:] *= 3 * np.arange(1, 9)
    assert {"level", "variance"} & set(said(row)) == set()


# --- shares


def binomial(count: int, of: int, share: float) -> tuple[float, float]:
    """The chance of so many or more, and of so few or fewer."""
    each = [comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(of + 1)]
    return sum(each[count:]), sum(each[: count + 1])


def test_the_chance_of_a_count_is_the_binomials_with_a_share_by_the_rule_of_succession():
    cases = [*product([0, 1, 4, 8], [8], [0, 3, 24], [24]), (3, 56, 0, 168), (0, 3, 2, 2)]
    count, of, before, of_before = (np.array(c) for c in zip(*cases, strict=True))
    chance, many, few = inputs._tails(count, of, before, of_before)
    for at, case in enumerate(cases):
        more, less = binomial(case[0], case[1], (case[2] + 1) / (case[3] + 2))
        assert many[at] == pytest.approx(more)
        assert few[at] == pytest.approx(less)
        assert chance[at] == pytest.approx(min(2 * more, 2 * less, 1.0))


@pytest.mark.parametrize("absent", ["missing", "zero"])
def test_periods_without_traffic_are_told_against_the_same_season_of_earlier_years(absent):
    row = steady()
    row[-5:] = 0
    share = binomial(5, 8, 1 / 26)[0]
    assert said(row, absent=absent)["zero share"] == (
        "5 of 8 periods of the last 8 months had no traffic; in the same season of earlier years 0 of 24: more than is "
        f"likely (p {2 * share:.1g})"
    )
    for year in range(1, 6):
        row[-12 * year - 5 : len(row) - 12 * year] = 0
    assert "zero share" not in said(row, absent=absent)  # so it is every year


def test_traffic_in_a_season_that_never_had_any_is_told():
    row = steady()
    for year in range(6):
        row[12 * year + 4 : 12 * year + 12] = 0
    row[-8:] = 5_000
    assert (
        "0 of 8 periods of the last 8 months had no traffic; in the same season of earlier years 24 of 24: fewer"
        in (said(row)["zero share"])
    )


@pytest.mark.parametrize(("frequency", "of", "name"), [("MS", 8, "months"), ("W", 8, "weeks"), ("D", 56, "weeks")])
def test_periods_without_a_row_are_missing_or_zero_as_the_source_says(frequency, of, name):
    row = steady(frequency)
    row[-of // 2 :] = np.nan
    told = f"{of // 2} of {of} periods of the last 8 {name}"
    assert said(row, frequency)["missing"].startswith(f"{told} have no row; in the same season of earlier years 0 of")
    assert "zero share" not in said(row, frequency)
    assert said(row, frequency, absent="zero")["zero share"].startswith(f"{told} had no traffic;")
    assert "missing" not in said(row, frequency, absent="zero")


def test_of_an_airport_younger_than_a_year_no_share_is_told():
    row = steady()[-10:]
    row[-5:] = 0
    assert said(row) == {}


# --- the shape of a year


@pytest.mark.parametrize(("year", "parts"), [(12, 12), (52, 13)])
def test_the_shape_of_a_year_is_the_logarithm_of_its_parts_without_their_mean(year, parts):
    values = np.abs(odd_values(5, 5 * year + 3, 7)) + 1
    values[0] = np.random.default_rng(1).lognormal(8, 1, 5 * year + 3)
    found = inputs.year_shapes(values, year, parts)
    assert found.shape == (4, 5, parts)
    size = year // parts
    for back, at in product(range(4), range(5)):
        start = values.shape[1] - (back + 1) * year
        logs = [
            log(v) if isfinite(v := float(np.mean(values[at, start + size * k : start + size * (k + 1)]))) else nan
            for k in range(parts)
        ]
        assert found[back, at] == pytest.approx([v - np.mean(logs) for v in logs], nan_ok=True)


def test_years_are_alike_by_the_correlation_of_the_shape_with_the_mean_of_the_known_others():
    shapes = np.random.default_rng(2).normal(size=(4, 6, 12))
    shapes[2, 1, 3] = np.nan
    shapes[1:, 2, 0] = np.nan
    shapes[1:, 3] = shapes[0, 3]
    found = inputs.alike(shapes[0], shapes[1:])
    for at in range(6):
        others = [list(shapes[k, at]) for k in (1, 2, 3) if np.isfinite(shapes[k, at]).all()]
        if not others:
            assert np.isnan(found[at])
            continue
        usual, shape = [mean(v) for v in zip(*others, strict=True)], list(shapes[0, at])
        away = [(s - mean(shape)) * (u - mean(usual)) for s, u in zip(shape, usual, strict=True)]
        r = mean(away) / (pstdev(shape) * pstdev(usual))
        assert found[at] == pytest.approx(min(r, 0.999))


@pytest.mark.parametrize("frequency", YEAR)
def test_a_year_of_another_shape_is_told(frequency):
    row, year = steady(frequency), YEAR[frequency]
    row[-year:] = row[-year:][::-1]
    detail = said(row, frequency)["seasonality"]
    assert detail.startswith("the shape of the last year correlates with that of the years before at ")
    assert detail.endswith("which correlate with each other at 1.00")
    flat = 20_000 * np.exp(np.random.default_rng(3).normal(0, 0.05, len(row)))
    assert "seasonality" not in said(flat, frequency)  # there was no shape to lose
    assert "seasonality" not in said(row[-2 * year :], frequency)  # nor can two years tell


def test_the_shape_is_another_from_three_standard_errors_of_fishers_z_on():
    parts = 12
    limit = 3 * sqrt(2 / (parts - 3))
    base = np.sin(2 * np.pi * np.arange(parts) / parts)
    across = np.cos(2 * np.pi * np.arange(parts) / parts)
    for apart, told in ((limit - 0.01, False), (limit + 0.01, True)):
        past = 0.95
        now = np.tanh(np.arctanh(past) - apart)
        first, second = (r * base + sqrt(1 - r * r) * across for r in (now, past))
        # The years before the last two are `base`; the last one is compared with the mean of the three before it.
        usual = (second + 2 * base) / 3
        usual = usual / np.linalg.norm(usual)
        side = across - (across @ usual) * usual
        first = now * usual + sqrt(1 - now * now) * side / np.linalg.norm(side)
        rows = np.exp(np.r_[base, base, second, first * np.linalg.norm(base)])
        assert ("seasonality" in said(rows)) is told


# --- what others know


def test_restatements_and_stale_models_are_told_as_they_are_given():
    rows = history({"AAA": steady(), "BBB": steady(seed=2)})
    found = findings(rows, "MS", 8, {"BBB": 3, "CCC": 1, "AAA": 0}, {"AAA": 13, "BBB": 12}, 13)
    assert found == {
        "AAA": (Finding("AAA", "stale", "the model in force is 13 months old; 13 are allowed"),),
        "BBB": (Finding("BBB", "restated", "3 periods were restated in the last 8 months"),),
        "CCC": (Finding("CCC", "restated", "1 period was restated in the last 8 months"),),
    }
    assert findings(rows, "MS", 8, {}, {"AAA": 99}, None) == {"AAA": (), "BBB": ()}
    assert list(findings(rows.iloc[::-1], "MS", 8, {"CCC": 0}, {}, 1)) == ["AAA", "BBB", "CCC"]


def test_findings_do_not_depend_on_the_order_of_rows_nor_on_other_airports():
    row = steady()
    row[-8:] *= [0, 0, 0, 0, 2, 3, 4, 5]
    rows = history({"AAA": row, "BBB": steady(seed=2)})
    found = findings(rows, "MS", 8, {}, {}, None)
    assert {f.what for f in found["AAA"]} >= {"zero share", "variance"}
    assert findings(rows.sample(frac=1, random_state=1), "MS", 8, {}, {}, None) == found
    assert findings(rows[rows["airport"] == "AAA"], "MS", 8, {}, {}, None)["AAA"] == found["AAA"]


@pytest.mark.parametrize("frequency", YEAR)
@pytest.mark.parametrize("periods", [1, 2, 9, 20])
def test_of_short_histories_nothing_is_told(frequency, periods):
    rows = history({"AAA": steady(frequency)[:periods]}, frequency)
    assert findings(rows, frequency, 8, {}, {}, None) == {"AAA": ()}


def test_no_history_has_no_findings_and_an_unknown_frequency_is_refused():
    nothing = pd.DataFrame({"airport": [], "ds": pd.to_datetime([]), "y": []})
    assert findings(nothing, "MS", 8, {}, {}, 3) == {}
    with pytest.raises(ConfigurationError, match=r"source\.frequency: 'QS'"):
        findings(history({"AAA": [1.0]}), "QS", 8, {}, {}, None)
