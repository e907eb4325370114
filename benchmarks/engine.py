"""Tuning one airport: the usual way, the cheap wins, and the engine, on the same airports and the same points.

    usual    as in every tutorial: fmin over Prophet(..).fit, cross_validation and performance_metrics
    cheap    CmdStan without uncertainty samples, no fit before the folds, a loop over the folds
    engine   what Paxcast does: one design matrix, moments once a fold, the exact mode in process, Hyperopt's TPE

Each evaluates as many points in three folds, then fits the best on the whole history with a real Prophet and forecasts.
The engine's TPE chooses the points; the others get the same ones, so that all three do the same work. CPU seconds, of
children too, one thread. Monthly: French airports (DGAC). Daily: flights from New York in 2013. Long: ten generated
years of days. The last line is one JSON object, also kept in benchmarks/results/engine.json.

    python benchmarks/engine.py [--monthly 5] [--daily 4] [--long 2] [--evaluations 32] [--fleet 60]
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import fleets
import numpy as np
import pandas as pd
from hyperopt import fmin, hp, tpe
from posterior import mode_of
from prophet import Prophet
from prophet.diagnostics import cross_validation, performance_metrics

from paxcast.adapters import hyperopt_search
from paxcast.core import calendar, evaluation, prophet_map
from paxcast.core.candidates.prophet import ProphetCandidate, new_model
from paxcast.core.folds import plan_folds
from paxcast.core.prophet_map import problem
from paxcast.core.search import SearchProblem, best
from paxcast.core.series import Series
from paxcast.core.space import Parameters
from paxcast.sections import SearchSettings

SPACE = SearchSettings().parameters()
SECONDS, FOLDS = 300.0, 3


@dataclass(frozen=True)
class Airport:
    """A series, its folds, and what its forecast is."""

    series: Series
    windows: tuple[evaluation.Window, ...]
    test: evaluation.Window
    horizon: int

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame({"ds": self.series.ds, "y": self.series.y})

    @property
    def future(self) -> pd.DataFrame:
        return pd.DataFrame({"ds": self.series.next_periods(self.horizon)})


@dataclass(frozen=True)
class Way:
    """What one way came to: the best point's forecast, its fitted model, CPU seconds."""

    model: Prophet
    forecast: np.ndarray
    seconds: float


def airport(series: Series) -> Airport:
    """With three folds before the test window."""
    frequency = calendar.frequency(series.frequency)
    planned = plan_folds(
        len(series.y),
        horizon=frequency.horizon,
        year=frequency.year,
        shortest_train=frequency.shortest_train,
        recent=FOLDS,
        earlier_years=0,
    )
    assert planned.test is not None, f"{series.airport} is too short"
    (test,) = evaluation.windows(series, [planned.test])
    return Airport(series, evaluation.windows(series, planned.choose), test, frequency.horizon)


def searched(one: Airport, evaluations: int) -> tuple[list[Parameters], Parameters, float]:
    """The points that TPE chose on the engine, the best of them, and the CPU seconds it took."""
    with measured.cpu() as cpu:
        evaluator = ProphetCandidate().prepare(one.series, seed=1, seconds=SECONDS)
        objective = evaluation.FoldsLoss(evaluator, one.windows)
        problem_ = SearchProblem(space=SPACE, objective=objective, max_evals=evaluations, seed=1)
        trials = hyperopt_search.search(problem_)
    chosen = best(trials)
    assert chosen is not None
    return [t.parameters for t in trials], chosen.parameters, cpu.seconds


def engine(one: Airport, chosen: Parameters, seconds: float) -> Way:
    """The engine's last part: a real Prophet, fitted and asked for its forecast; after a search of so many seconds."""
    with measured.cpu() as cpu:
        fitted = ProphetCandidate().fit(one.series, chosen, seed=1, seconds=SECONDS)
        forecast = fitted.forecast(one.horizon)
    return Way(fitted.model, forecast, seconds + cpu.seconds)


def usual(one: Airport, points: Sequence[Parameters], chosen: Parameters) -> Way:
    """The tutorials' way. fmin suggests, and the next of the given points is evaluated in its place."""
    left = iter(points)
    horizon = max(
        one.series.ds[w.fold.cutoff + one.horizon - 1] - one.series.ds[w.fold.cutoff - 1] for w in one.windows
    )
    cutoffs = [pd.Timestamp(one.series.ds[w.fold.cutoff - 1]) for w in one.windows]

    def objective(_: Any) -> float:
        model = Prophet(**next(left), **seasons(one)).fit(one.frame)
        table = cross_validation(model, horizon=pd.Timedelta(horizon), cutoffs=cutoffs, disable_tqdm=True)
        loss = float(performance_metrics(table, metrics=["mae"], rolling_window=1)["mae"].iloc[0])
        model.stan_backend.cleanup()
        return loss

    space = {"changepoint_prior_scale": hp.loguniform("changepoint_prior_scale", np.log(0.001), np.log(0.5))}
    with measured.cpu() as cpu:
        fmin(objective, space, algo=tpe.suggest, max_evals=len(points), show_progressbar=False, verbose=False)
        model = Prophet(**chosen, **seasons(one)).fit(one.frame)
        forecast = model.predict(one.future)["yhat"].to_numpy()
    model.stan_backend.cleanup()
    return Way(model, forecast, cpu.seconds)


def cheap(one: Airport, points: Sequence[Parameters], chosen: Parameters) -> Way:
    """CmdStan still, but nothing that is not needed for the loss."""
    with measured.cpu() as cpu:
        for parameters in points:
            for window in one.windows:
                by_cmdstan(one.series.head(window.fold.cutoff), parameters, one.horizon)
        model, forecast = by_cmdstan(one.series, chosen, one.horizon)
    return Way(model, forecast, cpu.seconds)


def by_cmdstan(series: Series, parameters: Parameters, horizon: int) -> tuple[Prophet, np.ndarray]:
    """A Prophet fitted by CmdStan as Prophet asks it to, and its forecast."""
    model = new_model(series, parameters)
    model.fit(pd.DataFrame({"ds": series.ds, "y": series.y}))
    model.stan_backend.cleanup()
    return model, model.predict(pd.DataFrame({"ds": series.next_periods(horizon)}))["yhat"].to_numpy()


def seasons(one: Airport) -> dict[str, bool]:
    """The seasonalities of both ways, that the models are the same."""
    model = new_model(one.series, {})
    return {f"{name}_seasonality": getattr(model, f"{name}_seasonality") for name in ("yearly", "weekly", "daily")}


def compared(airports: Sequence[Airport], evaluations: int) -> dict[str, Any]:
    """The three ways on each airport; what they cost, and how far their results are from each other."""
    points, chosen, _ = searched(airports[0], 25)
    engine(airports[0], chosen, 0.0)  # imports and what is prepared once a process are no airport's
    rows = []
    for one in airports:
        points, chosen, seconds = searched(one, evaluations)
        ways = {"engine": engine(one, chosen, seconds)}
        ways |= {"usual": usual(one, points, chosen), "cheap": cheap(one, points, chosen)}
        rows.append({**{name: way.seconds for name, way in ways.items()}, **differences(one, chosen, ways)})
        sys.stderr.write(f"{one.series.airport}: {rows[-1]}\n")
    table = pd.DataFrame(rows)
    found: dict[str, Any] = {"airports": len(table), "periods": int(np.median([len(a.series.y) for a in airports]))}
    for name in ("usual", "cheap", "engine"):
        mean = float(table[name].mean())
        found[name] = {"cpu_seconds": mean, "airports_a_core_hour": 3600 / mean}
        found[name]["ratio"] = float(table["usual"].mean() / mean)
    for name in ("forecast_difference", "log_posterior_gain"):
        found[name] = {
            "median": float(table[name].median()),
            "least": float(table[name].min()),
            "most": float(table[name].max()),
        }
    return found


def differences(one: Airport, chosen: Parameters, ways: dict[str, Way]) -> dict[str, float]:
    """The engine's forecast against the usual way's, as a share of the level, and the gain in log posterior, nats."""
    ours, theirs = ways["engine"], ways["usual"]
    data, prior = problem.from_stan(dataclasses.asdict(new_model(one.series, chosen).preprocess(one.frame)))
    values = [problem.log_posterior(data, prior, mode_of(way.model, prior)) for way in (ours, theirs)]
    level = float(np.mean(np.abs(theirs.forecast))) or 1.0
    return {
        "forecast_difference": float(np.mean(np.abs(ours.forecast - theirs.forecast))) / level,
        "log_posterior_gain": values[0] - values[1],
    }


def cost(airports: Sequence[Airport], evaluations: int) -> dict[str, float]:
    """CPU seconds an airport of the engine alone, with so many evaluations, from history to forecast."""
    seconds = []
    for one in airports:
        _, chosen, search_seconds = searched(one, evaluations)
        seconds.append(engine(one, chosen, search_seconds).seconds)
    return {"airports": len(seconds), "mean": float(np.mean(seconds)), "most": float(np.max(seconds))}


def quality(airports: Sequence[Airport], points: int) -> dict[str, Any]:
    """Mean MASE of the engine and of CmdStan at the same random points, in the folds and in the test window."""
    rows = []
    for at, one in enumerate(airports):
        evaluator = ProphetCandidate().prepare(one.series, seed=1, seconds=SECONDS)
        objective = evaluation.FoldsLoss(evaluator, one.windows)
        asked = SearchProblem(space=SPACE, objective=objective, max_evals=points, seed=at)
        trials = hyperopt_search.search(asked, "random")
        for trial in trials:
            stan = [
                mase(w, by_cmdstan(one.series.head(w.fold.cutoff), trial.parameters, one.horizon)[1])
                for w in (*one.windows, one.test)
            ]
            ours = [mase(w, evaluator.forecast(trial.parameters, w.fold)) for w in (*one.windows, one.test)]
            rows.append(
                {
                    "airport": at,
                    "cv_engine": np.mean(ours[:-1]),
                    "cv_cmdstan": np.mean(stan[:-1]),
                    "test_engine": ours[-1],
                    "test_cmdstan": stan[-1],
                }
            )
    return summary(pd.DataFrame(rows))


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Means over all points, and over the points that each would have chosen in the folds."""
    found: dict[str, Any] = {"airports": int(table["airport"].nunique()), "points": len(table)}
    for name in ("engine", "cmdstan"):
        chosen = table.loc[table.groupby("airport")[f"cv_{name}"].idxmin()]
        found[name] = {
            "folds_all_points": float(table[f"cv_{name}"].mean()),
            "test_all_points": float(table[f"test_{name}"].mean()),
            "folds_chosen": float(chosen[f"cv_{name}"].mean()),
            "test_chosen": float(chosen[f"test_{name}"].mean()),
        }
    return found


def mase(window: evaluation.Window, forecast: np.ndarray) -> float:
    """The error of a forecast as it may be published, in units of the window's seasonal naive error."""
    return float(np.mean(np.abs(window.actual - evaluation.publishable(forecast)))) / window.scale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("monthly", 5), ("daily", 4), ("long", 2), ("evaluations", 32), ("fleet", 60), ("points", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    for name in ("prophet", "prophet.plot", "hyperopt"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("cmdstanpy").disabled = True
    prophet_map.warm()
    made: dict[str, Callable[[int], list[Series]]] = {
        "monthly": fleets.dgac,
        "daily": fleets.nycflights,
        "long": partial(fleets.daily, years=10, seed=1),
    }
    found: dict[str, Any] = {"evaluations": asked.evaluations, "folds": FOLDS}
    for name, make in made.items():
        airports = [airport(series) for series in make(getattr(asked, name))]
        found |= {name: compared(airports, asked.evaluations)} if airports else {}
    monthly = [airport(series) for series in fleets.dgac(asked.fleet)]
    if monthly:
        found["monthly_200_evaluations_cpu_seconds"] = cost(monthly, 200)
        found["mean_mase_monthly"] = quality(monthly, asked.points)
    measured.keep("engine", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
