"""What of MLflow's runs and model versions is removed when its time has come. Asked twice, it is done once.

MLflow marks as deleted, and shows no more, what `mlflow gc` then frees. A version that an alias points at stays, with
the run and the model it was made from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from paxcast.adapters.mlflow_registry import PAGE, Registry
from paxcast.adapters.mlflow_registry.connection import reaching

GONE = "RESOURCE_DOES_NOT_EXIST"
AT_ONCE = 100  # runs whose models are asked for together
Pair = tuple[str, int]  # model, version


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of one run key and may go."""

    versions: tuple[Pair, ...]
    runs: tuple[str, ...]


def aliased(registry: Registry, fleet: str) -> dict[Pair, tuple[str, ...]]:
    """The aliases of every version of a fleet's models that has any."""
    with reaching(registry.tracking_uri):
        found: dict[Pair, tuple[str, ...]] = {}
        for model in _pages(registry.client.search_registered_models, filter_string=f"name LIKE '{fleet}.%'"):
            if model.name.startswith(f"{fleet}."):  # in LIKE, _ stands for any letter
                for alias, number in sorted(model.aliases.items()):
                    pair = (model.name, int(number))
                    found[pair] = (*found.get(pair, ()), alias)
        return found


def release_of(registry: Registry, pair: Pair) -> str:
    """The id of the release that a version of a fleet's own model holds."""
    with reaching(registry.tracking_uri):
        return str(registry.client.get_model_version(pair[0], str(pair[1])).tags["idem_key"])


def find(registry: Registry, run_key: str, kept: Sequence[Pair]) -> Found:
    """The versions and the runs of a run key, but for those of the versions that are kept."""
    with reaching(registry.tracking_uri):
        versions = _versions(registry, run_key)
        staying = {v.run_id for v in versions if (v.name, int(v.version)) in set(kept)}
        runs = list(_runs(registry, f"tags.run_key = '{run_key}'"))
        staying |= {run.data.tags.get("mlflow.parentRunId") for run in runs if run.info.run_id in staying}
        going = [(v.name, int(v.version)) for v in versions if (v.name, int(v.version)) not in set(kept)]
        return Found(tuple(sorted(going)), tuple(r.info.run_id for r in runs if r.info.run_id not in staying))


def remove(registry: Registry, found: Found) -> None:
    """Delete versions, then the models they were made from, then the runs by which those are found."""
    with reaching(registry.tracking_uri):
        for model, number in found.versions:
            _unless_gone(registry.client.delete_model_version, model, str(number))
        for first in range(0, len(found.runs), AT_ONCE):
            listed = ", ".join(f"'{run_id}'" for run_id in found.runs[first : first + AT_ONCE])
            for model_id in [m.model_id for m in _models(registry, f"source_run_id IN ({listed})")]:
                _unless_gone(registry.client.delete_logged_model, model_id)
    remove_runs(registry, found.runs)


def trial_runs(registry: Registry, fleet: str, before: pd.Timestamp) -> dict[str, str]:
    """Run id -> run key of every trial of a fleet that began before an instant."""
    instant = int(before.timestamp() * 1000)
    query = f"tags.kind = 'trial' and tags.run_key LIKE '{fleet}-%' and attributes.start_time < {instant}"
    with reaching(registry.tracking_uri):
        found = {run.info.run_id: str(run.data.tags["run_key"]) for run in _runs(registry, query)}
        return {run_id: run_key for run_id, run_key in found.items() if run_key.startswith(f"{fleet}-")}


def remove_runs(registry: Registry, run_ids: Sequence[str]) -> None:
    """Delete runs."""
    with reaching(registry.tracking_uri):
        for run_id in run_ids:
            _unless_gone(registry.client.delete_run, run_id)


def _versions(registry: Registry, run_key: str) -> list[ModelVersion]:
    return list(_pages(registry.client.search_model_versions, filter_string=f"tags.run_key = '{run_key}'"))


def _runs(registry: Registry, query: str) -> Iterator[Any]:
    return _pages(registry.client.search_runs, experiment_ids=[registry.experiment_id], filter_string=query)


def _models(registry: Registry, query: str) -> list[Any]:
    found = registry.client.search_logged_models
    return list(_pages(found, experiment_ids=[registry.experiment_id], filter_string=query, max_results=AT_ONCE))


def _pages(search: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(**{"max_results": PAGE, **asked}, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _unless_gone(delete: Callable[..., None], *what: str) -> None:
    try:
        delete(*what)
    except MlflowException as err:
        if err.error_code != GONE:
            raise
