"""The worker of one airport, called in this process: its limits, its faults, and what it does when asked again."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from paxcast.adapters.spark import PackedHistory
from paxcast.core.candidates import History, Refitting
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.choice import Promotion
from paxcast.core.composition import compose
from paxcast.core.errors import FitFailed
from paxcast.core.outcome import FAILED, OK, Outcome, evaluation_of
from paxcast.core.series import Series
from paxcast.core.space import Parameters
from paxcast.core.treatment import Rules
from paxcast.core.tuning import TuningTask
from paxcast.jobs import ledger, worker
from paxcast.jobs.searches import by_name
from paxcast.jobs.worker import AirportWorker
from paxcast.jobs.workspace import Workspace

KEY, MONTHS = "small-20201231T235959-c0ffee00-r0", 60
Values = npt.NDArray[np.float64]
Forecast = Callable[[Series, int], Values]
Compete = Callable[[Forecast], None]
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its address space")


@dataclass(frozen=True)
class FittedOdd:
    """Forecasts whatever its function says."""

    series: Series
    function: Forecast
    fitted_by: ClassVar[str] = "by hand"

    def forecast(self, horizon: int) -> Values:
        return self.function(self.series, horizon)

    def to_json(self) -> str:
        return "{}"


@dataclass(frozen=True)
class Odd:
    """A candidate whose forecast is any function of its history: what a forecasting library may do to a worker."""

    function: Forecast
    name: str = "odd"
    searched: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[float] = 0.0

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedOdd:
        return FittedOdd(series, self.function)

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, history, seed, seconds)


@pytest.fixture
def compete(monkeypatch: pytest.MonkeyPatch) -> Callable[[Forecast], None]:
    """Lets a forecast compete against seasonal naive: `compete(function)`."""

    def let(function: Forecast) -> None:
        named: Mapping[str, object] = {**CANDIDATES, "odd": Odd(function)}
        monkeypatch.setattr(worker, "CANDIDATES", named)

    return let


def made(
    ws: Workspace,
    attempt: int = 1,
    seconds: float = 60,
    memory_mb: int = 0,
    competing: tuple[str, ...] = ("seasonal_naive", "odd"),
    pinned: bool = False,
) -> AirportWorker:
    """The worker of a batch of one airport, AAA, for which seasonal naive and `odd` are tuned, and compete."""
    task = TuningTask(
        horizon=3,
        candidates=("seasonal_naive", "odd"),
        space=(),
        max_evals=1,
        seconds=seconds,
        recent_folds=2,
        earlier_year_folds=0,
        promotion=Promotion(0.02),
        seed=7,
        pinned=pinned,
    )
    return AirportWorker(
        store_root=ws.settings.store_root,
        run_key=KEY,
        fleet=ws.fleet,
        as_of="2020-12-31",
        batch=4,
        frequency="MS",
        rules={"AAA": Rules(shocks=(), find_shocks=False, outliers=False)},
        competing={"AAA": competing},
        search=by_name("tpe"),
        memory_mb=memory_mb,
        tasks={"AAA": task},
        attempts={"AAA": attempt},
    )


def history() -> PackedHistory:
    """Five years in which traffic grows by 10 a month."""
    days = np.arange("2016-01", "2021-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return PackedHistory("AAA", "first", days, 1000.0 + 10 * np.arange(MONTHS))


def straight(series: Series, horizon: int) -> Values:
    """The forecast that is always right here."""
    return series.y[-1] + 10 * np.arange(1.0, horizon + 1)


def forbidden(series: Series, horizon: int) -> Values:
    raise AssertionError("it was tuned")


def failure(ws: Workspace, attempt: int = 1) -> Outcome:
    """What the ledger holds of a failed attempt; nothing may be finished."""
    assert ledger.finished(ws.objects, KEY) == set()
    found = ledger.load_failed(ws.objects, KEY, "AAA", "first", attempt)
    assert found is not None
    return found


def test_what_is_tuned_is_on_record_with_its_model_before_the_worker_answers(ws: Workspace, compete: Compete) -> None:
    compete(straight)
    answer = made(ws)(history())
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    assert (answer.airport, answer.status, answer.reason) == ("AAA", OK, "")
    assert (found.batch, found.seed, found.attempt, found.periods) == (4, 7, 1, MONTHS)
    assert {e["candidate"]: e["forecast"] for e in found.entrants} == {
        "seasonal_naive": [1480, 1490, 1500],
        "odd": [1600, 1610, 1620],
    }
    assert found.ds == ["2021-01-01", "2021-02-01", "2021-03-01"]
    assert ledger.load_model(ws.objects, KEY, "AAA", "first")


def test_what_is_there_to_compare_with_does_not_compete(ws: Workspace, compete: Compete) -> None:
    compete(straight)
    made(ws, competing=("seasonal_naive",))(history())
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    assert {e["candidate"]: e["competes"] for e in found.entrants} == {"seasonal_naive": True, "odd": False}
    assert compose(evaluation_of(found), "best").weights == {"seasonal_naive": 1.0}


def test_a_pinned_method_competes_alone_however_bad_it_is(ws: Workspace, compete: Compete) -> None:
    compete(lambda series, horizon: np.zeros(horizon))
    made(ws, competing=("odd",), pinned=True)(history())
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    assert found.pinned
    assert compose(evaluation_of(found), "inverse_square").weights == {"odd": 1.0}


def test_a_pinned_method_that_cannot_be_fitted_is_named_with_the_reason(ws: Workspace, compete: Compete) -> None:
    def unfit(series: Series, horizon: int) -> Values:
        raise FitFailed("AAA: odd needs more of everything")

    compete(unfit)
    expected = (
        "odd, which overrides pin, could not be fitted: AAA: odd needs more of everything; seasonal naive is published"
    )
    assert made(ws, competing=("odd",), pinned=True)(history()).reason == expected
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    assert (found.status, found.reason) == (OK, expected)
    assert compose(evaluation_of(found), "best").weights == {"seasonal_naive": 1.0}


def short() -> PackedHistory:
    """The first fifteen months: too few for a fold."""
    whole = history()
    return replace(whole, days=whole.days[:15], values=whole.values[:15])


def test_a_pinned_method_is_published_of_a_history_too_short_to_judge_it_on(ws: Workspace, compete: Compete) -> None:
    compete(straight)
    assert made(ws, competing=("odd",), pinned=True)(short()).reason == ""
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    composed = compose(evaluation_of(found), "inverse_square")
    assert (found.folds, composed.weights, composed.forecast.tolist()) == ([], {"odd": 1.0}, [1150, 1160, 1170])


def test_one_that_is_not_tried_or_cannot_be_fitted_on_a_short_history_is_named_with_the_reason(
    ws: Workspace, compete: Compete
) -> None:
    def unfit(series: Series, horizon: int) -> Values:
        raise FitFailed("AAA: odd needs more of everything")

    compete(unfit)
    worker = made(ws, competing=("odd",), pinned=True)
    assert "could not be fitted: AAA: odd needs more of everything;" in worker(short()).reason
    naive = {"AAA": replace(worker.tasks["AAA"], candidates=())}
    answer = replace(worker, tasks=naive)(replace(short(), checksum="second"))
    assert answer.reason == "odd, which overrides pin, was not tried; seasonal naive is published"


def test_of_a_pinned_method_that_was_fitted_and_of_one_that_nobody_pinned_there_is_no_reason(
    ws: Workspace, compete: Compete
) -> None:
    compete(straight)
    assert made(ws, competing=("odd",), pinned=True)(history()).reason == ""
    assert made(ws, attempt=2)(replace(history(), checksum="second")).reason == ""


def test_an_airport_that_takes_too_long_has_failed_with_the_setting_to_raise(ws: Workspace, compete: Compete) -> None:
    def endless(series: Series, horizon: int) -> Values:
        time.sleep(300)
        return straight(series, horizon)

    compete(endless)
    started = time.monotonic()
    assert made(ws, seconds=0.3)(history()).status == FAILED
    assert time.monotonic() - started < 100
    assert failure(ws).reason == "tuning: not done after 0.3 s; raise search.seconds_per_airport"


@only_linux
def test_an_airport_that_needs_too_much_memory_has_failed_and_hurts_no_later_one(
    ws: Workspace, compete: Compete
) -> None:
    def greedy(series: Series, horizon: int) -> Values:
        return straight(series, horizon) + 0 * np.ones(400 * 1024 * 1024, dtype=np.uint8).max()

    compete(greedy)
    assert made(ws, memory_mb=300)(history()).status == FAILED
    assert failure(ws).reason == "tuning: needs more than 300 MiB of memory; raise spark.worker_memory_mb"
    assert made(ws, attempt=2)(history()).status == OK


def test_an_exception_is_a_failure_with_its_kind_and_words(ws: Workspace, compete: Compete) -> None:
    def broken(series: Series, horizon: int) -> Values:
        raise OSError("no space left on device")

    compete(broken)
    answer = made(ws)(history())
    assert (answer.status, answer.reason) == (FAILED, "OSError: no space left on device")
    assert failure(ws).reason == answer.reason
    assert ledger.load_model(ws.objects, KEY, "AAA", "first") is None


def test_a_candidate_whose_forecast_is_no_number_is_left_out_with_the_reason(ws: Workspace, compete: Compete) -> None:
    def right_until_it_counts(series: Series, horizon: int) -> Values:
        known = len(series.y) < MONTHS
        return straight(series, horizon) if known else np.full(horizon, np.nan)

    compete(right_until_it_counts)
    assert made(ws)(history()).status == OK
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    assert [e["candidate"] for e in found.entrants] == ["seasonal_naive"]
    assert found.left_out == {"odd": "AAA: odd forecast what is not a number"}


def test_an_airport_that_cost_two_workers_is_failed_untouched_and_tuned_in_the_next_attempt(
    ws: Workspace, compete: Compete
) -> None:
    compete(forbidden)
    for number in (1, 2):
        assert ledger.begin(ws.objects, KEY, "AAA", "first", 1) == number
    answer = made(ws)(history())
    assert answer.status == FAILED
    assert answer.reason.startswith("tuning ended 2 workers before they could say why")
    assert failure(ws).reason == answer.reason
    compete(straight)
    assert made(ws, attempt=2)(history()).status == OK
    found = ledger.load(ws.objects, KEY, "AAA", "first")
    assert found is not None
    assert found.attempt == 2


def test_an_airport_that_cost_one_worker_is_tuned_again_at_once(ws: Workspace, compete: Compete) -> None:
    compete(straight)
    ledger.begin(ws.objects, KEY, "AAA", "first", 1)
    assert made(ws)(history()).status == OK


@pytest.mark.parametrize("function", [straight, forbidden])
def test_an_outcome_on_record_is_answered_and_not_computed_again(
    ws: Workspace, compete: Compete, function: Forecast
) -> None:
    compete(function)
    first = made(ws)(history())
    objects = list(ws.objects.names("runs"))
    compete(lambda series, horizon: pytest.fail("it was tuned again"))
    assert made(ws)(history()) == first
    assert list(ws.objects.names("runs")) == objects


def test_a_failure_of_an_earlier_attempt_does_not_answer_for_this_one(ws: Workspace, compete: Compete) -> None:
    compete(forbidden)
    assert made(ws)(history()).status == FAILED
    compete(straight)
    assert made(ws, attempt=2)(history()).status == OK


def test_a_restated_history_is_tuned_although_the_one_before_is_on_record(ws: Workspace, compete: Compete) -> None:
    compete(straight)
    made(ws)(history())
    assert made(ws)(replace(history(), checksum="second")).status == OK
    assert ledger.finished(ws.objects, KEY) == {("AAA", "first"), ("AAA", "second")}
