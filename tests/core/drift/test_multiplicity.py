import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paxcast.core.drift.multiplicity import q_values

P = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(P, st.floats(0.01, 0.5))
def test_those_up_to_the_limit_are_the_ones_that_benjamini_and_hochberg_reject(p: list[float], limit: float) -> None:
    ranks = [k for k in range(1, len(p) + 1) if sorted(p)[k - 1] * len(p) / k <= limit]
    rejected = {value for value in sorted(p)[: max(ranks)]} if ranks else set()
    assert [q <= limit for q in q_values(np.array(p))] == [value in rejected for value in p]


@given(P)
def test_q_values_do_not_depend_on_the_order_and_are_not_below_p(p: list[float]) -> None:
    q = q_values(np.array(p))
    assert q_values(np.array(p[::-1]))[::-1] == pytest.approx(q)
    assert np.all(q >= np.array(p) - 1e-12)


def test_nobody_is_told_nothing() -> None:
    assert len(q_values(np.empty(0))) == 0
