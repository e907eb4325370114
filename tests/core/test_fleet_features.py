"""What the fleet's model is told, against slow sums over the years themselves."""

import numpy as np
import pytest

from paxcast.core import fleet_features
from paxcast.core.fleet_features import SCHEMES

YEAR = {"D": 364, "W": 52, "MS": 12}
SEASON = {"D": 7, "W": 52, "MS": 12}
PERIODS = {"D": 800, "W": 170, "MS": 60}


@pytest.fixture
def make_own(make_series):
    """An airport with random traffic: `make_own(frequency, seed, periods)`."""

    def made(frequency="MS", seed=1, periods=None, year=2010, factor=1.0):
        start = f"{year}-01-01" if frequency == "MS" else f"{year}-01-04"  # a Monday in 2010, and 28 years later
        rng = np.random.default_rng(seed)
        y = factor * rng.uniform(50, 150, periods or PERIODS[frequency])
        return fleet_features.own(make_series(y, frequency, start), np.ones(len(y), dtype=bool))

    return made


def rows_of(airport, fleet=None, origins=None, horizon=5):
    fleet = fleet or fleet_features.shared([airport])
    at = np.array([len(airport.y) - 1] if origins is None else list(origins))
    return fleet_features.rows(airport, fleet, at, horizon)


@pytest.mark.parametrize("frequency", YEAR)
def test_growth_is_that_of_the_last_periods_on_the_same_a_year_before(make_own, frequency):
    airport = make_own(frequency)
    y, end, year = airport.y, len(airport.y), YEAR[frequency]
    for count in SCHEMES[frequency].growth:
        now, before = y[end - count :].sum(), y[end - count - year : end - year].sum()
        assert airport.changes[count][-1] == pytest.approx((now - before) / (now + before))
        assert np.isnan(airport.changes[count][: year + count - 1]).all()


@pytest.mark.parametrize("frequency", YEAR)
def test_the_scale_is_the_mean_seasonal_naive_error_so_far(make_own, frequency):
    airport, season = make_own(frequency), SEASON[frequency]
    for end in (season + 1, season + 9, len(airport.y)):
        naive = [abs(airport.y[i] - airport.y[i - season]) for i in range(season, end)]
        assert airport.scale[end - 1] == pytest.approx(np.mean(naive))


@pytest.mark.parametrize(("frequency", "steps"), [("MS", 26), ("W", 60), ("D", 400)])
def test_a_forecast_starts_from_last_year_carried_to_the_present_level(make_own, frequency, steps):
    airport, scheme, year = make_own(frequency), SCHEMES[frequency], YEAR[frequency]
    y, end, count = airport.y, len(airport.y), scheme.carried
    ratio = y[end - count :].sum() / y[end - count - year : end - year].sum()
    rows = rows_of(airport, horizon=steps)
    for step in (1, 2, steps // 2, steps):
        ago = end - 1 + step
        while ago >= end:
            ago -= year
        assert rows.base[step - 1] == pytest.approx(y[ago] * ratio**scheme.damped)
    assert rows.target.tolist() == list(range(end, end + steps))


def test_traffic_is_carried_to_twice_the_level_at_most(make_series):
    y = np.concatenate([np.ones(12), np.full(12, 100.0)])
    airport = fleet_features.own(make_series(y), np.ones(24, dtype=bool))
    assert rows_of(airport).base.tolist() == pytest.approx([100 * 2**0.5] * 5)


def test_without_two_years_a_forecast_starts_from_the_last_season(make_own):
    months, days = make_own("MS", periods=20), make_own("D", periods=60)
    assert rows_of(months).base.tolist() == months.y[8:13].tolist()
    assert rows_of(days, horizon=9).base.tolist() == [*days.y[-7:], *days.y[-7:-5]]


def test_the_fleets_odd_periods_are_medians_by_date_and_need_three_airports(make_own):
    fleet = [make_own(seed=seed, periods=60 - 3 * seed) for seed in range(4)]  # all begin together; fewer go on
    seen = fleet_features.shared(fleet)

    def median(count, period):
        values = [a.changes[count][period] for a in fleet if period < len(a.y)]
        known = [v for v in values if np.isfinite(v)]
        return np.median(known) if len(known) >= 3 else np.nan

    for period in range(60):
        expected = median(1, period) - median(12, period)
        assert seen.odd[period] == pytest.approx(expected, nan_ok=True, abs=1e-6)
    assert np.isfinite(seen.odd).sum() == 54 - 23


@pytest.mark.parametrize("frequency", YEAR)
def test_what_follows_an_origin_is_in_none_of_its_features(make_own, frequency):
    whole = [make_own(frequency, seed) for seed in range(4)]
    cut = len(whole[0].y) - 20
    part = [make_own(frequency, seed, cut) for seed in range(4)]
    late = rows_of(whole[0], fleet_features.shared(whole), [cut - 1], 15)
    known = rows_of(part[0], fleet_features.shared(part), [cut - 1], 15)
    np.testing.assert_array_equal(late.features, known.features)
    np.testing.assert_array_equal(late.base, known.base)


@pytest.mark.parametrize("frequency", YEAR)
def test_features_have_no_unit_and_know_no_year(make_own, frequency):
    one = rows_of(make_own(frequency))
    other = rows_of(make_own(frequency, factor=1000.0))
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_allclose(other.base, 1000 * one.base, rtol=1e-12)
    np.testing.assert_array_equal(one.features, rows_of(make_own(frequency, year=2038)).features)


def test_features_are_rounded_so_that_the_last_bits_of_a_unit_move_no_tree(make_own):
    features = rows_of(make_own(), origins=range(30, 50)).features.astype(np.float64)
    assert np.nanmax(np.abs(features * 1e4 - np.round(features * 1e4))) < 0.01
    assert np.nanmax(np.abs(features * 1e3 - np.round(features * 1e3))) > 0.1


def test_months_are_told_apart_by_name_and_by_their_working_days(make_own):
    told = rows_of(make_own("MS", periods=49), horizon=12).features[:, -3:]  # ends 2014-01; February 2014 follows
    assert told[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]
    assert told[0].tolist() == [1, 0, 0]  # 28 days and 20 working days in February of 2013 and of 2014
    leap = rows_of(make_own("MS", periods=25), horizon=12).features[:, -3:]  # February 2012 has 29 days, 2011 had 28
    assert leap[0].tolist() == [1, 1, 1]
    assert leap[1].tolist() == [2, 0, -1]  # March 2011 had 23 working days, that of 2012 has 22


def test_days_are_told_apart_by_weekday(make_own):
    told = rows_of(make_own("D"), horizon=7).features[:, -1]  # 800 days from a Monday
    assert told.tolist() == [(800 + step) % 7 for step in range(7)]


def test_a_season_without_traffic_gives_no_infinite_feature(make_series):
    y = np.concatenate([np.ones(24), np.zeros(14)])
    rows = rows_of(fleet_features.own(make_series(y), np.ones(38, dtype=bool)))
    assert not np.isinf(rows.features).any()
    assert rows.base.tolist() == [0.0] * 5
    assert rows.unit.tolist() == [0.0] * 5
