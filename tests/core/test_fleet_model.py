"""One model for a whole fleet: what it may read, what must not matter to it, and that it learns what airports share."""

import numpy as np
import pandas as pd
import pytest

from paxcast.core import calendar, fleet_features, fleet_model
from paxcast.core.candidates.adjusted import ahead, without
from paxcast.core.past import Past
from paxcast.core.treatment import Raw, Rules
from paxcast.core.treatment.calendar_effects import estimate
from paxcast.core.tuning import tune

AS_IT_CAME = Rules(shocks=(), find_shocks=False, outliers=False)
FRENCH = Rules(shocks=(), find_shocks=False, outliers=False, calendar="holidays", country="FR")
LATER = Rules(shocks=(), find_shocks=False, outliers=False, calendar="holidays", country="FR", feasts_moved=28)
MONTHS = 72
STEP = {"D": "D", "W": "7D", "MS": "MS"}


def airport(values, code="ATL", start="2010-01-01", frequency="MS", rules=AS_IT_CAME):
    ds = pd.date_range(start, periods=len(values), freq=STEP[frequency]).to_numpy().astype("datetime64[ns]")
    return Past(Raw(code, frequency, ds, np.asarray(values, dtype=np.float64)), rules)


def traffic(seed, periods=MONTHS, season=12):
    rng = np.random.default_rng(seed)
    shape = 1 + 0.3 * np.sin(2 * np.pi * np.arange(periods) / season + seed)
    return 1000 * (1 + seed) * shape * np.exp(np.cumsum(rng.normal(0, 0.02, periods)))


def fleet(count=6, **changes):
    return {f"A{seed:02d}": airport(traffic(seed), f"A{seed:02d}", **changes) for seed in range(count)}


def end_of(pasts):
    return max(past.ds[-1] for past in pasts.values())


def made(pasts, cutoff=None, horizon=12):
    return fleet_model.forecasts(pasts, end_of(pasts) if cutoff is None else cutoff, horizon)


def test_every_airport_that_ends_at_the_cutoff_has_a_forecast_and_no_other():
    pasts = fleet() | {
        "OLD": airport(traffic(9, 60), "OLD"),
        "NEW": airport(traffic(9, 8), "NEW", start="2015-05-01"),
    }
    found = made(pasts, horizon=7)
    assert sorted(found) == [f"A{seed:02d}" for seed in range(6)]
    assert {forecast.shape for forecast in found.values()} == {(7,)}
    assert all(np.isfinite(forecast).all() for forecast in found.values())


@pytest.mark.parametrize("rules", [AS_IT_CAME, FRENCH], ids=lambda rules: rules.calendar)
def test_nothing_after_the_cutoff_is_read(rules):
    known, later = fleet(rules=rules), fleet(rules=rules)
    for past in later.values():
        past.raw.y[-10:] = np.random.default_rng(3).uniform(0, 1e6, 10)
    cutoff = known["A00"].ds[-11]
    same(made(known, cutoff), made(later, cutoff))
    cut = {code: Past(past.raw.head(MONTHS - 10), past.rules) for code, past in known.items()}
    same(made(known, cutoff), made(cut, cutoff))


def same(one, other, factor=1.0):
    assert list(one) == list(other)
    for code in one:
        np.testing.assert_allclose(other[code], factor * one[code], rtol=0 if factor == 1 else 1e-9)


def test_the_order_of_airports_their_codes_and_who_else_asks_do_not_matter():
    one = made(fleet())
    turned = made(dict(reversed(fleet().items())))
    assert list(turned) == list(reversed(one))
    renamed = made({f"Z{9 - int(code[1:])}": past for code, past in fleet().items()})
    for code in one:
        assert turned[code].tolist() == one[code].tolist()
        assert renamed[f"Z{9 - int(code[1:])}"].tolist() == one[code].tolist()


def test_the_same_fleet_is_forecast_the_same_to_the_last_bit():
    same(made(fleet()), made(fleet()))


@pytest.mark.parametrize("factor", [1000.0, 0.37])
@pytest.mark.parametrize("rules", [AS_IT_CAME, FRENCH], ids=lambda rules: rules.calendar)
def test_another_unit_of_traffic_is_another_unit_of_the_forecast(factor, rules):
    usual = fleet(rules=rules)
    other = {code: airport(factor * past.raw.y, code, rules=rules) for code, past in usual.items()}
    same(made(usual), made(other), factor)
    one = usual | {"A03": airport(factor * usual["A03"].raw.y, "A03", rules=rules)}
    same({"A03": made(usual)["A03"]}, {"A03": made(one)["A03"]}, factor)
    same({"A01": made(usual)["A01"]}, {"A01": made(one)["A01"]})


def test_the_same_fleet_28_years_later_has_the_same_forecast():
    same(made(fleet()), made(fleet(start="2038-01-01")))
    same(made(fleet(rules=FRENCH)), made(fleet(start="2038-01-01", rules=LATER)))


@pytest.mark.parametrize(("frequency", "periods", "season"), [("MS", MONTHS, 12), ("W", 170, 52), ("D", 500, 7)])
def test_a_forecast_is_that_of_the_fleet_without_calendar_effects_times_those_of_each_airports_own_periods(
    frequency, periods, season
):
    countries = ("FR", "US", "FR", None)
    y = {f"A{k}": traffic(k, periods, season) for k in range(4)}
    start = {"MS": "2010-01-01", "W": "2010-01-04", "D": "2009-12-20"}[frequency]  # the first of May is to come
    whole, divided, factors = {}, {}, {}
    for (code, values), country in zip(y.items(), countries, strict=True):
        rules = Rules(shocks=(), find_shocks=False, outliers=False, calendar="holidays", country=country)
        whole[code] = airport(values, code, start, frequency, rules)
        series = whole[code].head(periods - 5)
        effects = estimate(series, rules)
        divided[code] = airport(without(series, effects).y, code, start, frequency)
        factors[code] = ahead(effects, pd.Timestamp(series.ds[-1]), 9)
    cutoff = end_of(divided)
    plain, found = made(divided, cutoff, 9), made(whole, cutoff, 9)
    for code, forecast in found.items():
        np.testing.assert_allclose(forecast, plain[code] * factors[code], rtol=1e-12)
    assert any(np.ptp(values) > 0 for values in factors.values())


def test_each_airport_counts_without_its_calendar_effects_once_they_are_taken_out():
    """30 passengers a day and an airport's own season: nothing is left that a month's length could explain."""
    days = np.asarray(pd.date_range("2010-01-01", periods=MONTHS, freq="MS").days_in_month)
    pasts = {f"A{k}": airport((k + 1) * 30.0 * days, f"A{k}", rules=FRENCH) for k in range(5)}
    ahead_days = np.asarray(pd.date_range("2016-01-01", periods=12, freq="MS").days_in_month)
    for k, forecast in enumerate(made(pasts).values()):
        np.testing.assert_allclose(forecast, (k + 1) * 30.0 * ahead_days, rtol=1e-6)


def test_what_airports_share_is_learnt_from_all_of_them():
    """Growth turns every year, up a fifth, then back: one airport of two years cannot know, its fleet of eight does."""
    level = np.repeat(1.2 ** (np.arange(8) % 2), 12)
    shape = 1 + 0.2 * np.sin(2 * np.pi * np.arange(96) / 12)
    rng = np.random.default_rng(1)
    pasts = {
        f"A{k:02d}": airport((k + 1) * 1e3 * shape * level * rng.normal(1, 0.01, 96), f"A{k:02d}") for k in range(20)
    }
    young = (shape * level * 5e3)[-24:]
    pasts["NEW"] = airport(young, "NEW", start="2016-01-01")
    forecast = made(pasts)["NEW"]
    actual = young[:12]
    assert np.abs(forecast - actual).mean() < 0.2 * np.abs(young[12:] - actual).mean()


def test_too_few_examples_teach_nothing_and_the_forecast_is_where_the_trees_would_have_begun():
    pasts = {"ATL": airport(traffic(1, 20))}
    assert made(pasts, horizon=5)["ATL"].tolist() == pasts["ATL"].raw.y[8:13].tolist()


def test_no_airport_no_forecast():
    assert fleet_model.forecasts({}, np.datetime64("2015-01-01", "ns"), 3) == {}
    assert fleet_model.forecasts(fleet(), np.datetime64("2001-01-01", "ns"), 3) == {}


def test_an_airport_of_which_nothing_was_observed_yet_is_no_hindrance():
    nothing = airport([*[np.nan] * 70, 5.0, 6.0])
    cutoff = end_of(fleet()) - np.timedelta64(150, "D")
    cutoff = cutoff.astype("datetime64[M]").astype("datetime64[ns]")
    same(made(fleet(), cutoff), made(fleet() | {"NIL": nothing}, cutoff))


def test_an_example_counts_for_the_root_of_its_unit_in_seasonal_naive_errors():
    past = fleet()["A02"]
    own = fleet_features.own(past.treated().series, past.treated().observed)
    examples = fleet_model._of_airport(own, fleet_features.shared([own]), 3, 1.0)
    y, expected = own.y, []
    for origin in range(MONTHS - 2, 10, -1):
        naive = [abs(y[i] - y[i - 12]) for i in range(12, origin + 1)]
        scale = max(np.mean(naive) if naive else 0.0, 0.02 * y[origin - 11 : origin + 1].mean())
        ratio = y[origin - 11 : origin + 1].sum() / y[origin - 23 : origin - 11].sum() if origin >= 23 else 1.0
        for step in (1, 2, 3):
            if origin + step < MONTHS:
                expected.append(abs(y[origin + step] - y[origin + step - 12] * ratio**0.5) / scale)
    assert (np.abs(examples.target) * examples.weight**2).tolist() == pytest.approx(expected, rel=2e-2)


def test_what_was_not_observed_is_not_learnt():
    past = airport(np.where(np.arange(MONTHS) == 50, np.nan, traffic(2)))
    treated = past.treated()
    own = fleet_features.own(treated.series, treated.observed)
    whole = fleet_features.own(treated.series, np.ones(MONTHS, dtype=bool))
    counts = [len(fleet_model._of_airport(o, fleet_features.shared([o]), 3, 1.0).target) for o in (own, whole)]
    assert counts[0] == counts[1] - 3


def test_of_more_examples_than_it_takes_a_share_is_learnt_from_whatever_the_codes(monkeypatch):
    owns = [fleet_features.own(p.treated().series, p.treated().observed) for p in fleet().values()]
    shared = fleet_features.shared(owns)
    whole = fleet_model._examples(owns, shared, 12)
    monkeypatch.setattr(fleet_model, "MOST_ROWS", 6 * MONTHS * 12 // 3)
    third, again = (fleet_model._examples(some, shared, 12) for some in (owns, owns[::-1]))
    assert len(third.target) == pytest.approx(len(whole.target) / 3, rel=0.15)
    assert third.features.tobytes() == again.features.tobytes()
    everything = {row.tobytes() for row in whole.features}
    assert all(row.tobytes() in everything for row in third.features)


@pytest.mark.parametrize("frequency", ["D", "W", "MS"])
@pytest.mark.parametrize("horizon", [3, 13])
def test_its_cutoffs_are_those_that_tuning_asks_for_of_every_airport_that_ends_with_the_fleet(
    tuner, frequency, horizon
):
    lengths = {"D": [60, 200, 900], "W": [80, 150, 300], "MS": [24, 40, 100]}[frequency]
    end = pd.Timestamp("2020-01-06" if frequency != "MS" else "2020-01-01")
    pasts, asked = {}, {str(end)[:10]}
    task = tuner.task(horizon=horizon, candidates=("seasonal_naive",), recent_folds=4, earlier_year_folds=2)
    for at, periods in enumerate(lengths):
        start = calendar.shift(pd.DatetimeIndex([end]), 1 - periods, frequency)[0]
        pasts[f"A{at}"] = past = airport(traffic(at, periods), start=start, frequency=frequency)
        tuned = tune(past, task, tuner.candidates(), tuner.grid())
        windows = [*tuned.windows, *([tuned.test_window] if tuned.test_window else [])]
        asked |= {str(past.ds[window.fold.cutoff - 1])[:10] for window in windows}
    assert len(asked) > 4
    assert [str(cutoff)[:10] for cutoff in fleet_model.cutoffs(pasts, task)] == sorted(asked)


def test_one_airport_that_is_ahead_of_the_others_does_not_move_the_fleets_end(tuner):
    pasts = fleet() | {"TOO": airport(traffic(7, MONTHS + 1), "TOO")}
    assert fleet_model.cutoffs(pasts, tuner.task())[-1] == fleet()["A00"].ds[-1]


@pytest.mark.parametrize(("frequency", "periods", "season"), [("D", 500, 7), ("W", 170, 52)])
def test_days_and_weeks_are_forecast_too(frequency, periods, season):
    pasts = {f"A{k}": airport(traffic(k, periods, season), start="2018-01-01", frequency=frequency) for k in range(4)}
    found = made(pasts, horizon=10)
    naive = {code: past.raw.y[periods - season :][:10] for code, past in pasts.items()}
    for code, forecast in found.items():
        assert np.abs(np.log(forecast[: len(naive[code])] / naive[code])).max() < 1
