"""An explanation in plain sentences, and how traffic, errors and periods are written in it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from paxcast.core.explanation import Explanation, Row
from paxcast.core.treatment.shocks import FOUND

MILLION = 1_000_000
MOST_STEPS = 3  # of a treatment, in a sentence
MOST_VINTAGES = 4
MOST_MEMBERS = 4  # of a combination, in a sentence; the table of candidates has all
MANY_TIMES, HARDLY_ANY = 3, 0.005
DONE = {  # about drift
    "retrain": "to be retrained",
    "fallback": "to be forecast by a simple method alone",
    "escalate": "a person has to look",
    "wait": "waits to be retrained",
    "alert": "a person has to look",
}


def sentences(found: Explanation) -> list[str]:
    """What happened, where the error lies, what was known, by which model, and what today's would say."""
    told = (
        _headline(found), _place(found), _surprise(found), *_known(found), *_model(found), _drift(found), _now(found)
    )  # fmt: skip
    return [line for line in told if line]


def _headline(found: Explanation) -> str:
    """`JFK, October 2001: 1.2 million came; 2.9 million were forecast as of 2001-08-31, 2 months ahead (..): ..`"""
    said = found.forecast
    late = ", by a backfill" if said["backfill"] else ""
    was = f"{amount(said['yhat'])} were forecast as of {said['as_of']}{late}, {_ahead(said['step'], found.frequency)}"
    was += f" (80 %: {spread(said['lo80'], said['hi80'])})"
    subject = f"{found.airport}, {period(found.ds, found.frequency)}"
    if found.actual is None:
        return f"{subject}: {was}; what came is not known yet."
    return f"{subject}: {amount(found.actual)} came; {was}: {_off(said)}."


def _off(said: Row) -> str:
    if said["error"] == 0:
        return "exactly right"
    size = f"{amount(abs(said['error']))} too {'high' if said['error'] > 0 else 'low'}"
    scaled = said["scaled_error"]
    return size if scaled is None else f"{size}, {scaled:.1f} times the mean error of seasonal naive"


def _ahead(step: int, code: str) -> str:
    return f"{counted(step, code)} ahead"


def _place(found: Explanation) -> str:
    said, at = found.forecast, found.calibration
    if found.actual is None:
        return ""
    inside = "inside the 80 %" if said["covered80"] else "inside the 95 %" if said["covered95"] else "outside the 95 %"
    if at is None:
        return f"That is {inside} interval."
    ahead = _ahead(said["step"], found.frequency)
    if at["n"] == 1:
        alone = f"It is the only forecast of {found.airport} {ahead} that is scored yet"
        return f"That is {inside} interval. {alone}{_tried(found)}."
    largest = "the largest" if at["quantile"] == 1 else f"no smaller than {share(at['quantile'])}"
    return (
        f"That is {inside} interval. Of the {at['n']} forecasts of {found.airport} {ahead} that are scored yet, "
        f"{share(at['coverage80'])} held inside the 80 % interval and {share(at['coverage95'])} inside that of 95 %; "
        f"this error is {largest} of theirs, and no smaller than {share(at['fleet_quantile'])} of the fleet's"
        f"{_tried(found)}."
    )


def _tried(found: Explanation) -> str:
    """The end of a sentence: how the error compares with those where the model was tried before it was published."""
    tried = found.calibration["tried"] if found.calibration else None
    if tried is None:
        return ""
    where = f"{counted(tried['n'], found.frequency)} from {tried['first']} to {tried['last']}"
    count = tried["as_large"]
    as_large = f"{count or 'no'} error{'s were' if count > 1 else ' was'} as large"
    return f". Where the model had been tried beforehand, {where}, {as_large}: the largest was {tried['largest']:.1f}"


def _surprise(found: Explanation) -> str:
    """What nobody could know, what was known of shocks, and how it had been a year before."""
    lines = [_shock(shock, found) for shock in found.shocks]
    if found.year_before is not None:
        before = float(found.year_before["y"])
        then = period(pd.Timestamp(found.year_before["ds"]), found.frequency)
        line = f"{amount(before)} had come in {then}: {_change(found.forecast['yhat'] / before)} were forecast"
        came = "" if found.actual is None else f", {_change(found.actual / before)} came"
        lines.append(f"{line}{came}.")
    return " ".join(lines)


def _shock(shock: Row, found: Explanation) -> str:
    name = "a shock found since" if shock["name"] == FOUND else f"the shock '{shock['name']}'"
    days = f"{name} ({shock['first']} to {shock['last']})"
    if shock["begun"]:
        return f"It lies in {days}, which had begun by then."
    where = f"It lies in {days}" if shock["inside"] else f"Before it came {days}"
    return f"{where}, which began after {found.forecast['as_of']}: nobody could know of it then."


def _change(ratio_to: float) -> str:
    """`3 % more`, `31 % fewer`, `as many`, `4 times as many`, `hardly any`, `none`."""
    if ratio_to < HARDLY_ANY:
        return "none" if ratio_to == 0 else "hardly any"
    if ratio_to >= MANY_TIMES:
        return f"{ratio_to:,.0f} times as many"
    more = round((ratio_to - 1) * 100)
    return "as many" if more == 0 else f"{abs(more)} % {'more' if more > 0 else 'fewer'}"


def _known(found: Explanation) -> list[str]:
    data = found.data
    verdict = data["verdict"] + (f" ({', '.join(data['reasons'])})" if data["reasons"] else "")
    since = len(data["restated_since"])
    lines = [
        f"Known then: {data['periods']} periods, {data['first']} to {data['last']} (data version "
        f"{data['data_version']}, checksum {data['checksum']}); verdict {verdict}; "
        f"{since or 'none'} of them {'was' if since == 1 else 'were'} restated since, or came late."
    ]
    if len(found.actual_history) > 1:
        said = [f"{exact(row['y'])} since {row['known_at'][:10]}" for row in found.actual_history[-MOST_VINTAGES:]]
        lines.append(f"The actual was restated: {', '.join(said)}.")
    if treated := _treated(data["steps"]):
        lines.append(f"Treated: {treated}.")
    return lines


def _treated(steps: Sequence[Row]) -> str:
    """What was done to a history, the last of it: `shock 'Covid-19' 2020-03-01 to 2020-12-01: bridged`."""
    named = [f"{s['what']}{' ' + repr(s['name']) if s['name'] else ''}" for s in steps]
    told = [f"{name} {s['first']} to {s['last']}: {s['how']}" for name, s in zip(named, steps, strict=True)]
    more = f"; and {len(told) - MOST_STEPS} before" if len(told) > MOST_STEPS else ""
    return "; ".join(told[-MOST_STEPS:]) + more


def _model(found: Explanation) -> list[str]:
    model, said = found.model, found.forecast
    ordered = sorted(model["weights"].items(), key=lambda pair: -pair[1])
    of = ", ".join(f"{share(weight)} {name}" for name, weight in ordered[:MOST_MEMBERS])
    more = f" and {len(ordered) - MOST_MEMBERS} more" if len(ordered) > MOST_MEMBERS else ""
    run = f", MLflow run {model['mlflow_run']}" if model["mlflow_run"] else ""
    lines = [
        f"Model {said['model']} version {said['version']}: {model['method']} ({of}{more}); {model['reason']}; "
        f"confidence {said['confidence']}{run}."
    ]
    if model["trials_pruned"]:
        lines.append("The trials of its searches were pruned here; its MLflow run has them in trials.csv.")
    return lines


def _drift(found: Explanation) -> str:
    """`Drift as of 2021-10-24: severe, q 0.001, asks to retrain: loss, actuals above forecasts.`"""
    said = found.drift
    if said is None:
        return ""
    q = "" if said["q"] is None else f", q {said['q']:.2g}"
    action = f", {DONE[said['action']]}" if said["action"] in DONE else ""
    why = ", ".join(said["reasons"]) or said["why"]
    return f"Drift as of {said['as_of']}: {said['severity']}{q}{action}{f': {why}' * bool(why)}."


def _now(found: Explanation) -> str:
    now = found.now
    if now["yhat"] is None:
        return f"Today's model says nothing of it: {now['reason']}."
    treated = f" Its own history has that period treated: {_treated(now['treated'])}." if now["treated"] else ""
    said = f"Today's model, as of {now['as_of']} ({now['method']}), says {amount(now['yhat'])}: {now['reason']}"
    return f"{said}{', from what lay before that' * ('window' in now['reason'])}.{treated}"


# --- how traffic, errors and periods are written


def counted(number: int, code: str) -> str:
    """`1 month`, `12 weeks`"""
    return f"{number} {({'D': 'day', 'W': 'week', 'MS': 'month'})[code]}{'s' * (number != 1)}"


def period(ds: pd.Timestamp, code: str) -> str:
    """`October 2001`, `the week of 2001-10-01`, or `2001-10-01`."""
    if code == "MS":
        return f"{ds:%B %Y}"
    return f"the week of {ds.date()}" if code == "W" else str(ds.date())


def amount(value: float) -> str:
    """Traffic in a sentence: `1.2 million`, `123,456`, `3.4`."""
    if abs(value) >= MILLION:
        return f"{value / MILLION:.1f} million"
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.1f}"


def spread(low: float, high: float) -> str:
    """Two ends in one unit: `2.6 to 3.1 million`."""
    if high >= MILLION:
        return f"{low / MILLION:.1f} to {high / MILLION:.1f} million"
    return f"{amount(low)} to {amount(high)}"


def exact(value: Any) -> str:
    """Traffic in a table."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.1f}"


def share(value: float) -> str:
    """`46 %`"""
    return f"{value * 100:.0f} %"


def moment(value: str) -> str:
    """An instant in a table, to the minute."""
    return value[:16].replace("T", " ")


def ratio(value: Any) -> str:
    """An error in units of another."""
    return "-" if value is None else f"{value:.3f}"
