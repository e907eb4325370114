"""Aliases of thousands of models: read in a few calls, moved several at a time.

champion     what readers get; moved last when a release comes into force
previous     what was the champion before; a rollback leaves it, for what was rolled back is nothing to go back to
challenger   what waits for a person's yes; gone once a version as new is the champion
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from mlflow.tracking import MlflowClient

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
PAGE = 1000


def found(client: MlflowClient, prefix: str) -> dict[str, dict[str, int]]:
    """The aliases of each model whose name begins so: model -> alias -> version."""
    aliases: dict[str, dict[str, int]] = {}
    token = None
    while True:
        page = client.search_registered_models(f"name LIKE '{prefix}%'", max_results=PAGE, page_token=token)
        for model in page:  # LIKE takes an underscore for any character
            if model.name.startswith(prefix):
                aliases[model.name] = {alias: int(version) for alias, version in model.aliases.items()}
        token = page.token
        if not token:
            return aliases


def crown(
    client: MlflowClient, prefix: str, champions: Mapping[str, int], writers: int, *, succeed: bool = True
) -> int:
    """Make versions champions, by model; how many were not. What was the champion becomes `previous`, if they succeed
    it; after a rollback it does not.

    Broken off and asked again, it goes on where it stood: of each model the champion moves after `previous`.
    """
    now = found(client, prefix)

    def one(model: str, version: int) -> bool:
        aliases = now.get(model, {})
        before = aliases.get(CHAMPION)
        if succeed and before is not None and before != version:
            client.set_registered_model_alias(model, PREVIOUS, str(before))
        if before != version:
            client.set_registered_model_alias(model, CHAMPION, str(version))
        if aliases.get(CHALLENGER, version + 1) <= version:
            client.delete_registered_model_alias(model, CHALLENGER)
        return before != version

    return _each(one, champions, writers)


def challenge(client: MlflowClient, prefix: str, challengers: Mapping[str, int], writers: int) -> int:
    """Make versions the only challengers, by model; how many were not."""
    now = found(client, prefix)
    for model in [model for model, aliases in now.items() if CHALLENGER in aliases and model not in challengers]:
        client.delete_registered_model_alias(model, CHALLENGER)

    def one(model: str, version: int) -> bool:
        if now.get(model, {}).get(CHALLENGER) == version:
            return False
        client.set_registered_model_alias(model, CHALLENGER, str(version))
        return True

    return _each(one, challengers, writers)


def _each(do: Callable[[str, int], bool], wanted: Mapping[str, int], writers: int) -> int:
    """Several models at a time, in no order; how many had to be changed. Raises what the first that fails raises."""
    with ThreadPoolExecutor(writers, thread_name_prefix="alias") as threads:
        return sum(threads.map(do, *zip(*sorted(wanted.items()), strict=True))) if wanted else 0
