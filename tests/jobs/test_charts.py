"""Which airports get a chart, what is in it, and that none costs its airport the forecast."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paxcast.adapters import chart
from paxcast.adapters.spark import PackedHistory
from paxcast.core.candidates import Specification
from paxcast.core.choice import Promotion
from paxcast.core.composition import FIRST_RULE, compose
from paxcast.core.outcome import OK, Outcome, evaluation_of
from paxcast.core.treatment import Rules
from paxcast.core.tuning import TuningTask
from paxcast.jobs import charts, ledger
from paxcast.jobs.searches import by_name
from paxcast.jobs.worker import AirportWorker
from paxcast.jobs.workspace import Workspace

KEY, MONTHS, HORIZON = "small-20201231T235959-c0ffee00-r0", 96, 12
CANDIDATES = ("seasonal_naive", "anchored_prophet")
ANCHORED = {"anchor": 0.3, "changepoint_prior_scale": 0.05}
PNG = b"\x89PNG\r\n\x1a\n"


def tuned(ws: Workspace, mode: str, *champions: Specification) -> tuple[Outcome, bytes | None]:
    """What the worker of one airport leaves in the ledger: outcome and chart."""
    from paxcast.core.space import Parameter

    task = TuningTask(
        horizon=HORIZON, candidates=CANDIDATES, max_evals=1, seconds=60, recent_folds=2, earlier_year_folds=1,
        space=tuple(Parameter(name, "choice", (value,)) for name, value in ANCHORED.items()), seed=1,
        promotion=Promotion(0.0), champions=champions,
    )  # fmt: skip
    worker = AirportWorker(
        store_root=ws.settings.store_root, run_key=KEY, fleet="small", as_of="2020-12-31", batch=0, frequency="MS",
        rules={"AAA": Rules(shocks=(), find_shocks=False)}, competing={"AAA": CANDIDATES}, search=by_name("grid"),
        memory_mb=0, tasks={"AAA": task}, attempts={"AAA": 1}, charts=mode,
    )  # fmt: skip
    at, rng = np.arange(MONTHS), np.random.default_rng(1)
    y = (1000 + 5 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / 12)) * rng.normal(1, 0.04, MONTHS)
    days = (np.datetime64("2013-01", "M") + at).astype("datetime64[D]").astype(np.int64)
    worker(PackedHistory("AAA", "first", days, y))
    result = ledger.load(ws.objects, KEY, "AAA", "first")
    assert result is not None
    return result, ledger.load_chart(ws.objects, KEY, "AAA", "first")


def test_the_first_run_of_an_airport_has_a_small_chart(ws: Workspace) -> None:
    result, drawn = tuned(ws, "changed")
    assert result.status == OK
    assert drawn is not None
    assert drawn.startswith(PNG)
    assert len(drawn) <= chart.MOST_BYTES


@pytest.mark.parametrize(
    ("mode", "anchor", "expected"),
    [("changed", 0.3, False), ("changed", 0.4, True), ("all", 0.3, True), ("worst", 0.3, True), ("none", 0.4, False)],
)
def test_a_chart_is_drawn_where_a_member_has_other_parameters_than_the_champion(
    ws: Workspace, mode: str, anchor: float, expected: bool
) -> None:
    champion = Specification("anchored_prophet", {**ANCHORED, "anchor": anchor})
    result, drawn = tuned(ws, mode, champion, Specification("seasonal_naive", {}))
    assert "anchored_prophet" in compose(evaluation_of(result), FIRST_RULE).weights
    assert (drawn is not None) == expected


def test_a_chart_that_cannot_be_drawn_costs_the_airport_nothing(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr(chart, "png", fail)
    result, drawn = tuned(ws, "all")
    assert (result.status, drawn) == (OK, None)
    assert "AAA: its chart could not be drawn" in caplog.text


def test_the_worker_measures_the_combination_and_its_own_memory(ws: Workspace) -> None:
    result, _ = tuned(ws, "none")
    assert result.metrics["cv.mase"] > 0
    assert result.metrics["train.mase"] < result.metrics["naive.cv.mase"]
    assert result.metrics["residual.ljung_box_p"] <= 1
    assert result.train_members == ["anchored_prophet", "seasonal_naive"]
    assert result.memory_mb > 50


def test_the_picture_shows_four_seasons_the_folds_in_them_and_the_forecast(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(chart, "png", lambda picture: seen.append(picture) or PNG)
    result, _ = tuned(ws, "all")
    (picture,) = seen
    composed = compose(evaluation_of(result), FIRST_RULE)
    assert len(picture.history.y) == 48
    assert str(picture.history.ds[-1])[:10] == "2020-12-01"
    assert [str(d)[:10] for d in picture.forecast.ds] == result.ds
    np.testing.assert_allclose(picture.forecast.y, composed.forecast)
    firsts = [w["ds"][0] for w in [*result.folds, result.test] if w["ds"][0] >= "2017-01-01"]
    assert [str(line.ds[0])[:10] for line in picture.folds] == firsts
    assert composed.test is not None
    np.testing.assert_allclose(picture.folds[-1].y, composed.test)
    assert picture.title == f"AAA as of 2020-12-31: {composed.method}"


def test_the_worst_tenth_of_a_batch_is_judged_against_seasonal_naive(outcome_of: Callable[..., Outcome]) -> None:
    batch = [
        outcome_of(f"A{i:02d}", metrics={"cv.mase": 1.0 + i, "naive.cv.mase": 1.0 + i * (i != 7)}) for i in range(11)
    ]
    assert charts.logged("worst", batch) == {"A07", "A00"}  # a tenth of eleven, rounded up; of equal ones the first
    everyone = {result.airport for result in batch}
    assert charts.logged("changed", batch) == charts.logged("all", batch) == everyone
    assert charts.logged("worst", [replace(batch[0], metrics={})]) == {"A00"}
    assert charts.logged("worst", []) == set()
