"""Aliases of many models at a time: what moves, what stays, and what a try that was broken off leaves."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from paxcast.adapters.mlflow_registry import aliases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    folder = tmp_path_factory.mktemp("aliases")
    return MlflowClient(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db")


@pytest.fixture
def client(registry: MlflowClient, tmp_path: Path) -> MlflowClient:
    """Three models of a fleet with three versions each, and one of a fleet whose name is alike."""
    for name in ("a_b.AAA", "a_b.BBB", "a_b.release", "axb.AAA"):
        with suppress(MlflowException):  # at the first test there are none
            registry.delete_registered_model(name)
        registry.create_registered_model(name)
        for _ in range(3):
            registry.create_model_version(name, str(tmp_path), await_creation_for=0)
    return registry


def of(client: MlflowClient, name: str) -> dict[str, int]:
    return aliases.found(client, name)[name]


def test_only_models_whose_names_begin_so_are_found_though_an_underscore_stands_for_any(client: MlflowClient) -> None:
    assert sorted(aliases.found(client, "a_b.")) == ["a_b.AAA", "a_b.BBB", "a_b.release"]


def test_more_models_than_a_page_holds_are_all_found(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "PAGE", 1)
    assert len(aliases.found(client, "a_b.")) == 3


def test_the_first_champion_has_none_before_it_and_the_next_one_has(client: MlflowClient) -> None:
    assert aliases.crown(client, "a_b.", {"a_b.AAA": 1, "a_b.BBB": 1}, 2) == 2
    assert of(client, "a_b.AAA") == {"champion": 1}
    assert aliases.crown(client, "a_b.", {"a_b.AAA": 3, "a_b.BBB": 1}, 2) == 1
    assert of(client, "a_b.AAA") == {"champion": 3, "previous": 1}
    assert of(client, "a_b.BBB") == {"champion": 1}
    assert of(client, "a_b.release") == {}


def test_after_a_rollback_what_was_rolled_back_is_not_the_one_before(client: MlflowClient) -> None:
    aliases.crown(client, "a_b.", {"a_b.AAA": 1}, 1)
    aliases.crown(client, "a_b.", {"a_b.AAA": 2}, 1)
    assert aliases.crown(client, "a_b.", {"a_b.AAA": 1}, 1, succeed=False) == 1
    assert of(client, "a_b.AAA") == {"champion": 1, "previous": 1}


def test_asked_again_nothing_moves(client: MlflowClient) -> None:
    aliases.crown(client, "a_b.", {"a_b.AAA": 1}, 1)
    aliases.crown(client, "a_b.", {"a_b.AAA": 2}, 1)
    assert aliases.crown(client, "a_b.", {"a_b.AAA": 2}, 1) == 0
    assert of(client, "a_b.AAA") == {"champion": 2, "previous": 1}


def test_one_that_was_broken_off_between_the_two_aliases_is_completed(client: MlflowClient) -> None:
    aliases.crown(client, "a_b.", {"a_b.AAA": 1}, 1)
    aliases.crown(client, "a_b.", {"a_b.AAA": 2}, 1)
    client.set_registered_model_alias("a_b.AAA", "previous", "2")  # and there the process ended
    aliases.crown(client, "a_b.", {"a_b.AAA": 3}, 1)
    assert of(client, "a_b.AAA") == {"champion": 3, "previous": 2}


def test_a_challenger_is_gone_once_a_version_as_new_is_the_champion_and_stays_beside_an_older_one(
    client: MlflowClient,
) -> None:
    assert aliases.challenge(client, "a_b.", {"a_b.AAA": 2, "a_b.BBB": 2}, 2) == 2
    assert aliases.challenge(client, "a_b.", {"a_b.AAA": 2}, 2) == 0
    aliases.crown(client, "a_b.", {"a_b.AAA": 1, "a_b.BBB": 2}, 2)
    assert of(client, "a_b.AAA") == {"champion": 1, "challenger": 2}
    assert of(client, "a_b.BBB") == {"champion": 2}
    aliases.crown(client, "a_b.", {"a_b.AAA": 3}, 2)
    assert of(client, "a_b.AAA") == {"champion": 3, "previous": 1}


def test_what_is_no_challenger_any_more_loses_the_alias(client: MlflowClient) -> None:
    aliases.challenge(client, "a_b.", {"a_b.AAA": 2, "a_b.BBB": 2}, 2)
    aliases.challenge(client, "a_b.", {"a_b.AAA": 3}, 2)
    assert (of(client, "a_b.AAA"), of(client, "a_b.BBB")) == ({"challenger": 3}, {})


def test_the_first_failure_is_raised(client: MlflowClient) -> None:
    wanted: dict[str, Any] = {"a_b.AAA": 1, "a_b.NONE": 1}
    with pytest.raises(MlflowException, match=r"a_b\.NONE"):
        aliases.crown(client, "a_b.", wanted, 2)


def test_of_no_models_nothing_is_asked(client: MlflowClient) -> None:
    assert aliases.crown(client, "a_b.", {}, 2) == 0
