"""Whether the exact engine is exact: its log posterior against the optima that CmdStan finds, on random cases.

Monthly, weekly and daily series of 60 to 4,000 points, real and generated; additive, multiplicative and mixed terms;
holidays; extra regressors; flat growth; random prior scales. Each is fitted by the engine and twice by CmdStan: with
the optimiser that Prophet takes by default and with Newton's method. Newton's method has converged where the engine,
started at its end, gains less than 1e-4 nats; it may have done so at another mode.

    python benchmarks/posterior.py [--cases 320] [--seed 1]
"""

import measured  # isort: skip  (pins the threads before numpy is imported)

import argparse
import dataclasses
import logging
import sys
from dataclasses import dataclass
from typing import Any

import fleets
import numpy as np
import pandas as pd
from prophet import Prophet

from paxcast.core import prophet_map
from paxcast.core.fitted_by import EXACT
from paxcast.core.prophet_map import problem

STEP = {"MS": "MS", "W": "7D", "D": "D"}
LENGTHS = {"MS": (60, 400), "W": (60, 800), "D": (60, 4000)}
HORIZON = {"MS": 12, "W": 13, "D": 28}


@dataclass(frozen=True)
class Case:
    """One series and one model: `history` and `future` have the columns that the model wants."""

    name: str
    arguments: dict[str, Any]
    regressors: tuple[tuple[str, str], ...]  # name, mode
    custom: tuple[tuple[str, float, int, str], ...]  # name, period, order, mode of extra seasonalities
    history: pd.DataFrame
    future: pd.DataFrame

    def model(self) -> Prophet:
        model = Prophet(**self.arguments)
        for name, mode in self.regressors:
            model.add_regressor(name, mode=mode)
        for name, period, order, mode in self.custom:
            model.add_seasonality(name, period, order, mode=mode)
        return model


def case(rng: np.random.Generator, real: dict[str, list[tuple[pd.DatetimeIndex, np.ndarray]]], number: int) -> Case:
    """A random case; every third one on a real series."""
    frequency = ("MS", "W", "D")[number % 3]
    kind = ("additive", "multiplicative", "mixed")[int(rng.integers(3))]
    candidates = real.get(frequency, [])
    if number % 9 < 3 and candidates:
        ds, y = candidates[int(rng.integers(len(candidates)))]
    else:
        ds, y = generated(rng, frequency)
    frame = pd.DataFrame({"ds": ds, "y": y})
    horizon = min(HORIZON[frequency], len(frame) // 5)
    regressors = tuple(
        (f"extra{i}", ("additive", "multiplicative")[int(rng.integers(2))]) for i in range(rng.integers(3))
    )
    regressors = regressors if rng.random() < 0.3 else ()
    for name, _ in regressors:
        frame[name] = rng.normal(size=len(frame)) * 10 ** rng.uniform(-2, 3)
        frame["y"] = frame["y"] * (1 + 0.03 * np.tanh(frame[name] / (frame[name].std() or 1)))
    mode = "additive" if kind == "additive" else "multiplicative"
    custom = (("quarter", 91.3125, 2, "additive"),) if kind == "mixed" and rng.random() < 0.7 else ()
    arguments = {
        "seasonality_mode": mode,
        "holidays_mode": "additive" if kind == "mixed" else mode,
        "growth": "flat" if rng.random() < 0.15 else "linear",
        "changepoint_prior_scale": float(np.exp(rng.uniform(np.log(0.001), np.log(0.5)))),
        "seasonality_prior_scale": float(np.exp(rng.uniform(np.log(0.01), np.log(10)))),
        "changepoint_range": float(rng.uniform(0.7, 0.95)),
        "n_changepoints": int(rng.choice([25, 25, 25, 10, 3, 0])),
        "holidays": holidays(ds, rng) if rng.random() < 0.3 else None,
        "uncertainty_samples": 0,
    }
    history, future = frame.iloc[:-horizon], frame.iloc[-horizon:].drop(columns="y")
    return Case(f"{frequency}-{len(history)}-{kind}", arguments, regressors, custom, history, future)


def generated(rng: np.random.Generator, frequency: str) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Level, trend with breaks, a yearly and (daily) a weekly season, noise, now and then a shock or zeros."""
    low, high = LENGTHS[frequency]
    rows = int(np.exp(rng.uniform(np.log(low), np.log(high)))) + HORIZON[frequency]
    ds = pd.date_range("2004-01-01", periods=rows, freq=STEP[frequency])
    at = np.arange(rows) / rows
    trend = (
        1 + rng.uniform(-0.5, 1.5) * at + sum(rng.normal(0, 1) * np.maximum(at - rng.uniform(), 0) for _ in range(3))
    )
    year = 2 * np.pi * ds.dayofyear.to_numpy() / 365.25
    season = 1 + rng.uniform(0, 0.5) * np.sin(year + rng.uniform(0, 6)) + rng.uniform(0, 0.2) * np.cos(2 * year)
    week = 1 + (rng.uniform(0, 0.3) * np.sin(2 * np.pi * ds.dayofweek.to_numpy() / 7) if frequency == "D" else 0)
    y = 10 ** rng.uniform(1, 6) * np.maximum(trend, 0.05) * season * week
    y = y * rng.normal(1, rng.uniform(0.01, 0.25), rows)
    if rng.random() < 0.2:
        begin = int(rng.uniform(0.2, 0.8) * rows)
        y[begin : begin + rows // 12] *= 0.1
    return ds, np.maximum(y, 0)


def holidays(ds: pd.DatetimeIndex, rng: np.random.Generator) -> pd.DataFrame:
    """Three holidays a year; one of them lasts some days."""
    years = range(ds[0].year, ds[-1].year + 2)
    rows = [
        (name, pd.Timestamp(year, month, day))
        for year in years
        for name, month, day in (("new year", 1, 1), ("summer", 7, 1), ("end", 12, 25))
    ]
    return pd.DataFrame(rows, columns=["holiday", "ds"]).assign(lower_window=-int(rng.integers(3)), upper_window=1)


def judged(one: Case) -> dict[str, Any]:
    """Log posteriors and forecasts of the three fits, and what fitted the first."""
    data, prior = problem.from_stan(dataclasses.asdict(one.model().preprocess(one.history)))
    with measured.cpu() as engine:
        ours, by = prophet_map.fit_and_tell(one.model(), one.history)
    best = problem.log_posterior(data, prior, mode_of(ours, prior))
    found = {"case": one.name, "by": by, "ours": best, "engine_cpu": engine.seconds}
    expected = ours.predict(one.future)["yhat"].to_numpy()
    size = float(np.mean(np.abs(one.history["y"])))
    for name, arguments in (("default", {}), ("newton", {"algorithm": "Newton"})):
        model = one.model()
        with measured.cpu() as stan:
            told = fitted_by_cmdstan(model, one.history, arguments)
        if told:
            found[f"{name}_error"] = told
            continue
        end = mode_of(model, prior)
        reached = problem.log_posterior(data, prior, end)
        found[name], found[f"{name}_cpu"] = reached, stan.seconds
        found[f"{name}_left"] = problem.maximum(problem.moments(data), prior, end).log_posterior - reached
        found[f"{name}_forecast"] = (
            float(np.max(np.abs(model.predict(one.future)["yhat"].to_numpy() - expected))) / size
        )
    return found


def fitted_by_cmdstan(model: Prophet, history: pd.DataFrame, arguments: dict[str, Any]) -> str:
    """What hindered it, if anything did."""
    try:
        model.fit(history, seed=1, timeout=120, **arguments)
    except (RuntimeError, TimeoutError, ValueError) as err:
        return type(err).__name__
    finally:
        model.stan_backend.cleanup()
    return ""


def mode_of(model: Prophet, prior: problem.Prior) -> problem.Mode:
    """A fitted model's parameters."""
    given = {name: np.asarray(v, dtype=np.float64).ravel() for name, v in model.params.items()}
    k, delta = given["k"][0], given["delta"]
    if prior.flat:  # CmdStan leaves noise in what has no effect
        k, delta = 0.0, np.zeros(len(delta))
    elif not len(model.changepoints):  # Prophet has folded the one delta into k: the best split of the sum
        k = float(np.clip(given["k"][0], -25 / prior.tau, 25 / prior.tau))
        delta = given["k"] - k
    return problem.Mode(k, given["m"][0], delta, given["beta"], given["sigma_obs"][0], 0.0, 0)


def told(table: pd.DataFrame) -> dict[str, Any]:
    """The figures of all cases."""
    exact = table[table["by"] == EXACT]
    found: dict[str, Any] = {"cases": len(table), "exact": len(exact), "kinds": kinds(exact)}
    for name in ("default", "newton"):
        gain = (exact["ours"] - exact[name]).dropna()
        found[name] = {
            "fitted": len(gain),
            "worst_gain_nats": float(gain.min()),
            "median_gain_nats": float(gain.median()),
            "largest_gain_nats": float(gain.max()),
            "more_than_0.001_below": int((gain < -1e-3).sum()),
            "forecast_difference_median": float(exact[f"{name}_forecast"].median()),
            "cpu_ratio_median": float((exact[f"{name}_cpu"] / exact["engine_cpu"]).median()),
        }
    converged = exact[exact["newton_left"] < 1e-4]
    same = converged[(converged["ours"] - converged["newton"]).abs() < 1e-3]
    found["newton"] |= {
        "converged": len(converged),
        "converged_at_another_mode": len(converged) - len(same),
        "forecast_difference_largest_where_converged": float(same["newton_forecast"].max()),
    }
    return found


def kinds(exact: pd.DataFrame) -> dict[str, int]:
    """How many cases of each frequency and kind."""
    parts = exact["case"].str.split("-", expand=True)
    return {str(k): int(v) for k, v in (parts[0] + " " + parts[2]).value_counts().sort_index().items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=330)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", help="a CSV file for the figures of each case")
    asked = parser.parse_args()
    logging.getLogger("prophet").setLevel(logging.CRITICAL)
    logging.getLogger("cmdstanpy").disabled = True
    prophet_map.warm()
    rng = np.random.default_rng(asked.seed)
    real = {
        "MS": [(pd.DatetimeIndex(s.ds), s.y) for s in fleets.dgac(40)],
        "D": [(pd.DatetimeIndex(s.ds), s.y) for s in fleets.nycflights(28)],
    }
    rows = []
    for number in range(asked.cases):
        rows.append(judged(case(rng, real, number)))
        if number % 20 == 19:
            sys.stderr.write(f"{number + 1} of {asked.cases} cases\n")
    table = pd.DataFrame(rows)
    if asked.table:
        table.to_csv(asked.table, index=False)
    measured.keep("posterior", told(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
