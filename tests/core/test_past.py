"""A history as it was known at each cutoff: a function of what came before it, and of nothing else."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import treatment
from paxcast.core.past import Past
from paxcast.core.treatment import Rules, Shock

SETTINGS = settings(max_examples=60, deadline=None)
PERIODS = 84
WILD = st.lists(
    st.floats(0, 1e6).map(lambda y: round(y, 3)) | st.sampled_from([0.0, math.nan, 100.0]),
    min_size=PERIODS,
    max_size=PERIODS,
).filter(lambda values: np.isfinite(values[0]))
RULES = st.sampled_from(
    [
        Rules(),
        Rules(absent="zero"),
        Rules(shock_mode="keep", outliers=False),
        Rules(shocks=(Shock(date(2013, 3, 1), date(2014, 2, 28), "eruption"),), max_gap=2),
    ]
)


@SETTINGS
@given(WILD, WILD, RULES, st.integers(1, PERIODS))
def test_what_a_fold_trains_on_is_a_function_of_the_observations_before_its_cutoff_alone(
    make_past, values, others, rules, cutoff
):
    one = make_past(values, rules=rules)
    two = make_past([*values[:cutoff], *others[cutoff:]], rules=rules)
    one.treated()  # what has been asked for before is of no account
    assert one.head(cutoff).y.tolist() == two.head(cutoff).y.tolist()
    assert one.head(cutoff).ds.tolist() == two.head(cutoff).ds.tolist()


@SETTINGS
@given(WILD, RULES, st.integers(1, PERIODS))
def test_it_is_the_treatment_of_the_first_periods_and_ends_at_the_cutoff(make_past, values, rules, cutoff):
    past = make_past(values, rules=rules)
    slow = treatment.treat(past.raw.head(cutoff), rules)
    assert past.head(cutoff).y.tolist() == slow.series.y.tolist()
    assert past.head(cutoff).ds[-1] == past.ds[cutoff - 1]
    assert len(past.head(cutoff).y) == cutoff - slow.offset
    assert past.treated(cutoff).steps == slow.steps


def test_without_a_cutoff_all_that_is_known_is_treated(make_past, growing):
    past = make_past([0.0, 0.0, *growing(40)])
    assert past.treated().offset == 2
    assert past.treated().series.y.tolist() == growing(40).tolist()
    assert past.head(42).y.tolist() == past.treated().series.y.tolist()


def test_each_cutoff_is_treated_once_for_all_candidates(make_past, growing):
    past = make_past(growing(40))
    assert past.head(30) is past.head(30)
    assert past.treated() is past.treated(40)


def test_a_shock_that_began_after_the_cutoff_is_unknown_before_it(make_past, growing):
    values = np.concatenate([growing(60, growth=1.0), np.full(12, 5.0), growing(24, growth=1.0)])
    past = make_past(values, rules=Rules(shocks=(Shock(date(2015, 1, 1), date(2015, 12, 31), "strike"),)))
    assert past.head(60).y.tolist() == values[:60].tolist()
    assert past.treated().series.y[60:72] == pytest.approx(values[:12])


def test_name_and_dates_are_those_of_the_observations(make_past):
    past = make_past(range(1, 25), "W", start="2020-01-05", airport="BOS")
    assert isinstance(past, Past)
    assert (past.airport, past.frequency, len(past.ds)) == ("BOS", "W", 24)
    assert str(past.ds[1])[:10] == "2020-01-12"
