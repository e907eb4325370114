"""Scores of published forecasts against slow loops: what is compared, how, and which score counts when."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import scoring
from paxcast.core.calendar import parse_as_of, period_end
from paxcast.core.evaluation import fold_scale
from paxcast.core.history import known

SETTINGS = settings(max_examples=60, deadline=None)
TRAFFIC = st.floats(0, 1e6).map(lambda y: round(y, 3))
LEVELS = (("lo95", 0.025), ("lo80", 0.1), ("yhat", 0.5), ("hi80", 0.9), ("hi95", 0.975))
STEPS = {"D": "D", "W": "7D", "MS": "MS"}


def forecast(ds, airport="AAA", run_key="r1", checksum="c", as_of="2020-12-31", **values) -> pd.DataFrame:
    """One forecast: a row for each of the dates, 50 in 40..60 and 30..70 unless said otherwise."""
    usual = {"yhat": 50.0, "lo80": 40.0, "hi80": 60.0, "lo95": 30.0, "hi95": 70.0}
    frame = pd.DataFrame({"ds": pd.to_datetime(list(ds)), **(usual | values)})
    return frame.assign(airport=airport, run_key=run_key, checksum=checksum, forecast_as_of=parse_as_of(as_of))


def actual(*rows: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["airport", "ds", "y"]).astype({"ds": "datetime64[ns]", "y": float})
    return frame.assign(known_at=pd.Timestamp("2021-06-01", tz="UTC"))


def scored(forecasts: pd.DataFrame, actuals: pd.DataFrame, scale: float = 10.0) -> pd.DataFrame:
    unit = forecasts[scoring.FORECAST].drop_duplicates().assign(scale=scale)
    return scoring.scored(scoring.with_steps(forecasts), actuals, unit)


# --- the comparison


def slow_pinball(y: float, quantiles: dict[str, float]) -> float:
    total = 0.0
    for name, level in LEVELS:
        missed = y - quantiles[name]
        total += level * missed if missed >= 0 else (1 - level) * -missed
    return total / 5


@SETTINGS
@given(TRAFFIC, st.lists(TRAFFIC, min_size=5, max_size=5), st.floats(0.01, 1e5))
def test_every_figure_of_a_score_is_what_plain_arithmetic_gives(y, ends, scale):
    values = dict(zip((name for name, _ in LEVELS), sorted(ends), strict=True))
    (row,) = scored(forecast(["2021-01-01"], **values), actual(("AAA", "2021-01-01", y)), scale).to_dict("records")
    assert row["error"] == values["yhat"] - y
    assert row["scaled_error"] == pytest.approx(abs(y - values["yhat"]) / scale)
    assert row["pinball"] == pytest.approx(slow_pinball(y, values) / scale)
    assert row["covered80"] == (not (y < values["lo80"] or y > values["hi80"]))
    assert row["covered95"] == (not (y < values["lo95"] or y > values["hi95"]))


def test_the_pinball_loss_of_the_true_quantiles_is_the_lowest_there_is():
    draws = np.random.default_rng(5).normal(100, 15, 4000)
    right = {name: np.full(4000, np.quantile(draws, level)) for name, level in LEVELS}
    loss = scoring.pinball(draws, right).mean()
    for name, _ in LEVELS:
        for shift in (-3.0, 3.0):
            assert scoring.pinball(draws, {**right, name: right[name] + shift}).mean() > loss


@pytest.mark.parametrize(
    ("y", "in80", "in95"), [(40, True, True), (60, True, True), (30, False, True), (71, False, False)]
)
def test_an_actual_on_the_end_of_an_interval_is_covered(y, in80, in95):
    (row,) = scored(forecast(["2021-01-01"]), actual(("AAA", "2021-01-01", y))).to_dict("records")
    assert (row["covered80"], row["covered95"]) == (in80, in95)


def test_a_forecast_too_high_has_an_error_above_zero():
    rows = scored(forecast(["2021-01-01", "2021-02-01"]), actual(("AAA", "2021-01-01", 45), ("AAA", "2021-02-01", 53)))
    assert rows["error"].tolist() == [5, -3]
    assert rows["scaled_error"].tolist() == [0.5, 0.3]


def test_steps_are_counted_from_one_in_the_order_of_dates_whatever_the_order_of_rows():
    one = forecast(pd.date_range("2021-01-01", periods=4, freq="MS"))
    other = forecast(pd.date_range("2021-03-01", periods=3, freq="MS"), run_key="r2")
    mixed = pd.concat([one, other, one.head(2)]).sample(frac=1, random_state=1)
    steps = scoring.with_steps(mixed)
    assert steps.groupby("run_key")["step"].apply(list).to_dict() == {"r1": [1, 2, 3, 4], "r2": [1, 2, 3]}
    assert steps["ds"].tolist() == [*one["ds"], *other["ds"]]


def test_the_step_of_a_score_is_that_of_its_period_even_where_earlier_ones_have_no_actual():
    rows = scored(forecast(pd.date_range("2021-01-01", periods=4, freq="MS")), actual(("AAA", "2021-03-01", 50)))
    assert rows[["ds", "step"]].to_numpy().tolist() == [[pd.Timestamp("2021-03-01"), 3]]


def test_an_actual_is_held_against_every_forecast_of_its_period_and_airport_and_against_no_other():
    forecasts = pd.concat(
        [
            forecast(["2021-01-01", "2021-02-01"]),
            forecast(["2021-02-01", "2021-03-01"], run_key="r2"),
            forecast(["2021-02-01"], checksum="restated"),
            forecast(["2021-02-01"], airport="BBB"),
        ]
    )
    rows = scored(forecasts, actual(("AAA", "2021-02-01", 50)))
    assert rows[["airport", "run_key", "checksum", "step"]].to_numpy().tolist() == [
        ["AAA", "r1", "c", 2],
        ["AAA", "r1", "restated", 1],
        ["AAA", "r2", "c", 1],
    ]


# --- what counts as an actual

INSTANTS = tuple(f"2021-0{month}-15" for month in range(1, 6))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB"]),
        st.sampled_from(["2020-12-01", "2021-01-01"]),
        st.sampled_from([1.0, 2.0, 3.0, -1.0, math.nan, math.inf]),
        st.sampled_from(INSTANTS),
        st.sampled_from(["a", "b"]),
    ),
    max_size=14,
)


def slow_actual(rows, airport, ds, as_of):
    """The value of the last vintage, known by then, that says one thing which can be traffic."""
    vintages: dict[tuple[str, str], set] = {}
    for a, d, y, known_at, receipt in rows:
        if (a, d) == (airport, ds) and known_at <= as_of:
            vintages.setdefault((known_at, receipt), set()).add(repr(y))
    good = {v: float(*said) for v, said in vintages.items() if len(said) == 1 and 0 <= float(*said) < math.inf}
    return (good[max(good)], max(good)[0]) if good else None


@SETTINGS
@given(ROWS, st.sampled_from(INSTANTS))
def test_the_actual_is_the_last_thing_known_that_can_be_traffic(observations, rows, as_of):
    found = scoring.actuals(scoring.usable(observations(*rows)), pd.Timestamp(as_of, tz="UTC"))
    slow = {(a, d): slow_actual(rows, a, d, as_of) for a in ("AAA", "BBB") for d in ("2020-12-01", "2021-01-01")}
    expected = [[a, pd.Timestamp(d), y[0], pd.Timestamp(y[1], tz="UTC")] for (a, d), y in slow.items() if y]
    assert found[["airport", "ds", "y", "known_at"]].to_numpy().tolist() == expected


@SETTINGS
@given(ROWS, st.sampled_from(INSTANTS))
def test_of_sound_vintages_what_is_known_is_what_a_history_would_be(observations, rows, as_of):
    sound = {(a, d, k, r): (a, d, y, k, r) for a, d, y, k, r in rows if 0 <= y < math.inf}
    frame, instant = observations(*sound.values()), pd.Timestamp(as_of, tz="UTC")
    columns = ["airport", "ds", "y", "known_at"]
    found = scoring.actuals(scoring.usable(frame), instant)
    pd.testing.assert_frame_equal(found[columns], known(frame, instant)[columns])


# --- absent means zero


def zeros(
    observations, *rows, as_of="2021-12-31", delay_days=0, newest="2021-03-01"
) -> list[tuple[str, str, float, str]]:
    periods = pd.concat(
        [forecast(pd.date_range("2021-01-01", periods=4, freq="MS"), airport=a) for a in ("AAA", "BBB")]
    )
    seen = observations(*((a, d, y, "2021-04-01", "r") for a, d, y in rows))
    found = scoring.implied_zeros(periods, seen, parse_as_of(as_of), "MS", delay_days, pd.Timestamp(newest))
    return [(r.airport, str(r.ds.date()), r.y, str(r.known_at)[:10]) for r in found.itertuples()]


def test_a_period_of_which_nothing_was_said_up_to_the_newest_of_the_fleet_had_no_traffic(observations):
    said = [("AAA", "2020-12-01", 5), ("AAA", "2021-03-01", 7), ("BBB", "2021-01-01", 5)]
    assert zeros(observations, *said) == [
        ("AAA", "2021-01-01", 0, "2021-02-01"),
        ("AAA", "2021-02-01", 0, "2021-03-01"),
        ("BBB", "2021-02-01", 0, "2021-03-01"),
        ("BBB", "2021-03-01", 0, "2021-04-01"),
    ]
    assert zeros(observations, *said, delay_days=9)[0] == ("AAA", "2021-01-01", 0, "2021-02-10")
    assert zeros(observations, *said, newest="2021-01-01") == [("AAA", "2021-01-01", 0, "2021-02-01")]


def test_a_period_of_which_something_useless_was_said_is_not_taken_for_zero(observations):
    useless = [("AAA", "2021-01-01", -5), ("AAA", "2021-02-01", math.nan), ("BBB", "2021-01-01", 1)]
    assert [row[:2] for row in zeros(observations, *useless, newest="2021-02-01")] == [("BBB", "2021-02-01")]


def test_a_zero_is_not_known_before_a_value_of_its_period_could_be(observations):
    said = [("AAA", "2020-12-01", 5), ("AAA", "2021-03-01", 7), ("BBB", "2021-01-01", 5)]
    assert zeros(observations, *said, as_of="2021-02-27") == [("AAA", "2021-01-01", 0, "2021-02-01")]
    assert zeros(observations, *said, as_of="2021-01-31", delay_days=1) == []


# --- the unit


def history(frequency: str, periods: int, seed: int, keep: float = 1.0, airport: str = "AAA") -> pd.DataFrame:
    """A history with gaps, known period by period; never without its first and last."""
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2015-01-05" if frequency == "W" else "2015-01-01", periods=periods, freq=STEPS[frequency])
    rows = pd.DataFrame({"airport": airport, "ds": ds, "y": rng.uniform(10, 99, periods).round(1), "receipt": "r"})
    rows["known_at"] = period_end(rows["ds"], frequency)
    return rows[(rng.uniform(size=periods) < keep) | rows.index.isin([0, periods - 1])]


def unit(rows: pd.DataFrame, forecasts: pd.DataFrame, frequency: str, absent: str = "missing") -> list[float]:
    return scoring.scales(forecasts, scoring.usable(rows), frequency, absent)["scale"].tolist()


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize(("frequency", "periods"), [("D", 60), ("W", 130), ("MS", 50), ("MS", 9), ("D", 1)])
def test_the_scale_is_that_of_the_regular_series_known_when_the_forecast_was_made(regular, frequency, periods, absent):
    past = pd.concat([history(frequency, periods, s, keep=0.8, airport=a) for s, a in enumerate(["AAA", "BBB"])])
    last = past["ds"].max()
    future = history(frequency, periods + 20, 9)
    rows = pd.concat([past, future[future["ds"] > last]])
    ahead = pd.date_range(last, periods=4, freq=STEPS[frequency])[1:]
    as_of = str(period_end(pd.Series([last]), frequency)[0])
    forecasts = pd.concat([forecast(ahead, airport=a, as_of=as_of) for a in ("AAA", "BBB")])
    expected = [fold_scale(regular(a, group, frequency, absent)) for a, group in past.groupby("airport")]
    assert unit(rows, forecasts, frequency, absent) == pytest.approx(expected, rel=1e-12)


def test_each_forecast_has_the_scale_of_what_was_known_on_its_own_date(regular):
    rows = history("MS", 48, 3)
    restated = rows.head(1).assign(y=900.0, known_at=pd.Timestamp("2017-05-01", tz="UTC"))
    forecasts = pd.concat(
        forecast([f"{year}-01-01"], run_key=f"r{year}", as_of=f"{year - 1}-12-31") for year in (2017, 2018)
    )
    first, second = rows[rows["ds"] < "2017-01-01"], pd.concat([restated, rows[rows["ds"] < "2018-01-01"].iloc[1:]])
    expected = [fold_scale(regular("AAA", past, "MS", "missing")) for past in (first, second)]
    assert unit(pd.concat([rows, restated]), forecasts, "MS") == pytest.approx(expected)


def test_a_value_that_came_late_and_one_restated_later_leave_the_scale_as_it_was():
    rows = history("MS", 36, 4)
    made = forecast(["2018-01-01", "2018-02-01"], as_of="2018-04-30")
    before = unit(rows, made, "MS")
    late = pd.DataFrame([{"airport": "AAA", "ds": pd.Timestamp("2018-01-01"), "y": 9e5, "receipt": "s"}])
    late["known_at"] = pd.Timestamp("2018-02-01", tz="UTC")  # as a first sight: before the forecast was made
    restated = rows.head(1).assign(y=9e5, known_at=pd.Timestamp("2019-01-01", tz="UTC"))
    assert unit(pd.concat([rows, late, restated]), made, "MS") == before
    sooner = restated.assign(known_at=pd.Timestamp("2018-03-01", tz="UTC"))
    assert unit(pd.concat([rows, sooner]), made, "MS") != before


def test_a_forecast_without_any_usable_history_has_no_scale():
    rows = history("MS", 12, 5).assign(y=-1.0)
    assert unit(rows, forecast(["2016-01-01"], as_of="2015-12-31"), "MS") == []
    assert unit(rows.head(0), forecast(["2016-01-01"]), "MS") == []
    assert unit(rows, forecast([]), "MS") == []


# --- what is stored, and what is read

SCORES = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB"]),
        st.sampled_from(["2021-01-01", "2021-02-01"]),
        st.sampled_from(INSTANTS[2:]),
        st.integers(0, 2),
        st.sampled_from([1.0, 2.0]),
        st.sampled_from(["2020-12-31", "2021-04-20"]),
    ),
    max_size=12,
    unique_by=lambda row: row[:4] + row[5:],
)


def stored(rows) -> pd.DataFrame:
    """Scores: airport, ds, known_at, data_version, y, as_of of the forecast; the rest is the same for all."""
    names = ["airport", "ds", "known_at", "data_version", "y", "forecast_as_of"]
    frame = pd.DataFrame(list(rows), columns=names).assign(checksum="c", scale=10.0)
    frame = frame.assign(run_key=frame["forecast_as_of"], forecast_as_of=frame["forecast_as_of"].map(parse_as_of))
    return frame.astype(
        {
            "ds": "datetime64[ns]",
            "known_at": "datetime64[ns, UTC]",
            "forecast_as_of": "datetime64[ns, UTC]",
            "run_key": object,
            "y": float,
        }
    )


@SETTINGS
@given(SCORES, st.sampled_from(INSTANTS))
def test_of_each_forecast_and_period_the_score_of_the_newest_actual_known_then_counts(rows, as_of):
    best: dict[tuple[str, str, str], tuple] = {}
    for airport, ds, known_at, version, y, made in rows:
        key = (airport, made, ds)
        if known_at <= as_of and made < as_of and (known_at, version) > best.get(key, ("",))[:2]:
            best[key] = (known_at, version, y)
    found = scoring.newest(stored(rows), pd.Timestamp(as_of, tz="UTC"))
    assert [(r.airport, r.run_key, str(r.ds.date()), r.y) for r in found.itertuples()] == [
        (*key, value[2]) for key, value in sorted(best.items())
    ]


def slow_additions(there, fresh):
    for airport, ds, known_at, _, y, made in fresh:
        same = [(r[3], r[4]) for r in there if (r[0], r[1], r[2], r[5]) == (airport, ds, known_at, made)]
        if not same or max(same)[1] != y:
            yield (airport, ds, known_at, made, any((r[0], r[1], r[5]) == (airport, ds, made) for r in there))


@SETTINGS
@given(SCORES, SCORES)
def test_what_is_added_is_what_the_newest_score_of_that_known_at_does_not_say(there, fresh):
    once = list({(r[0], r[1], r[5]): r for r in fresh}.values())
    added = scoring.additions(stored(there), stored(once))
    assert [
        (r.airport, str(r.ds.date()), str(r.known_at.date()), r.run_key, r.rescored) for r in added.itertuples()
    ] == list(slow_additions(there, once))


def test_another_scale_is_scored_anew_and_a_difference_of_rounding_is_not():
    row = stored([("AAA", "2021-01-01", INSTANTS[2], 0, 1.0, "2020-12-31")])
    assert scoring.additions(row, row.assign(scale=10.0 * (1 + 1e-13))).empty
    assert scoring.additions(row, row.assign(scale=10.001))["rescored"].tolist() == [True]


# --- in short


def test_a_summary_has_the_means_over_all_by_airport_and_by_step():
    rng = np.random.default_rng(8)
    months = pd.date_range("2021-01-01", periods=6, freq="MS")
    rows = pd.concat(
        scored(forecast(months, airport=a), actual(*((a, d, rng.uniform(20, 80)) for d in months)), scale)
        for a, scale in (("AAA", 5.0), ("BBB", 50.0))
    )
    found = scoring.summary(rows)

    def slow(part: pd.DataFrame) -> list[float]:
        each = part.to_dict("records")
        figures = [
            (
                abs(r["y"] - 50) / r["scale"],
                (50 - r["y"]) / r["scale"],
                r["pinball"],
                40 <= r["y"] <= 60,
                30 <= r["y"] <= 70,
            )
            for r in each
        ]
        return [len(each), *(sum(column) / len(each) for column in zip(*figures, strict=True))]

    names = ["n", "scaled_error", "bias", "pinball", "coverage80", "coverage95"]
    assert list(found.overall) == names
    assert list(found.overall.values()) == pytest.approx(slow(rows))
    for table, by in ((found.by_airport, "airport"), (found.by_step, "step")):
        assert list(table.columns) == [by, *names]
        assert table[by].tolist() == sorted(rows[by].unique())
        for line in table.to_dict("records"):
            assert [line[name] for name in names] == pytest.approx(slow(rows[rows[by] == line[by]]))


def test_a_summary_of_no_scores_has_no_figures():
    found = scoring.summary(scored(forecast(["2021-01-01"]), actual(("BBB", "2021-01-01", 1))))
    assert found.overall["n"] == 0
    assert all(math.isnan(value) for name, value in found.overall.items() if name != "n")
    assert found.by_airport.empty
    assert found.by_step.empty
