"""One fleet's configuration: its YAML and the environment, as one frozen object. The only reader of os.environ.

Unknown keys are refused. `numbers()` is the part that changes numbers, and what the config hash covers; the store,
Spark, MLflow, retention, batches and drift are not in it, so that a run on a laptop and one on a cluster are the same.
"""

import difflib
import os
import re
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from paxcast.core import candidate_files
from paxcast.core.columns import AIRPORT_PATTERN
from paxcast.core.errors import ConfigurationError
from paxcast.sections import (
    DriftSettings,
    FileSettings,
    FoldSettings,
    HistorySettings,
    MlflowSettings,
    NotifySettings,
    NycFlights13Settings,
    OverrideSettings,
    PromotionSettings,
    RetentionSettings,
    SearchSettings,
    Section,
    SparkSettings,
)

if TYPE_CHECKING:
    from paxcast.core.treatment import Rules

PROJECT = Path(__file__).resolve().parents[2]
FLEETS = PROJECT / "include" / "config" / "fleets"
DEMO = FLEETS / "demo.yaml"
FLEET_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"


DEFAULT_CANDIDATES = (
    "seasonal_naive",
    "seasonal_growth",
    "weekday_year_ago",
    "auto_ets",
    "auto_ets_log",
    "auto_ces",
    "auto_theta",
    "mstl",
    "anchored_prophet",
    "fleet_gbm",
)


def _candidate(name: str) -> str:
    """A candidate's name. Importing the candidates takes a second: only for a name that is not its file's."""
    if name in candidate_files.names():
        return name
    from paxcast.core.candidates.registry import CANDIDATES

    if name not in CANDIDATES:
        raise PydanticCustomError("candidate", "Input should be one of {known}", {"known": ", ".join(CANDIDATES)})
    return name


class Settings(Section):
    """A fleet's whole configuration. Only `source` must be given."""

    fleet: str = Field(pattern=FLEET_PATTERN)
    source: Annotated[FileSettings | NycFlights13Settings, Field(discriminator="kind")]
    schedule: Literal["daily", "weekly", "monthly"] = "weekly"
    start_date: date = Field(date(2010, 1, 1), description="The first date a schedule or a backfill may reach back to.")
    horizon: int | None = Field(None, ge=1, le=400, description="Periods ahead; by default 28 D, 13 W, 12 MS.")
    history: HistorySettings = HistorySettings()
    candidates: tuple[Annotated[str, AfterValidator(_candidate)], ...] = DEFAULT_CANDIDATES
    search: SearchSettings = SearchSettings()
    overrides: dict[str, OverrideSettings] = Field({}, description="By airport: what is known of it alone.")
    folds: FoldSettings = FoldSettings()
    promotion: PromotionSettings = PromotionSettings()
    max_failed_share: float = Field(0.05, ge=0, le=1)
    batches: int = Field(4, ge=1, le=256)
    retries: int = Field(3, ge=0, le=10, description="How often Airflow tries a failed task again, by itself.")
    spark: SparkSettings = SparkSettings()
    store: str | None = None
    mlflow: MlflowSettings = MlflowSettings()
    retention: RetentionSettings = RetentionSettings()
    drift: DriftSettings = DriftSettings()
    notify: NotifySettings = NotifySettings()
    origin: str = Field("", exclude=True)  # the file this came from

    @field_validator("candidates")
    @classmethod
    def _candidates_differ(cls, candidates: tuple[str, ...]) -> tuple[str, ...]:
        twice = [name for at, name in enumerate(candidates) if name in candidates[:at]]
        if twice:
            raise ValueError(f"'{twice[0]}' is named twice; name each candidate once")
        return candidates

    @field_validator("overrides")
    @classmethod
    def _overrides_are_sound(cls, overrides: dict[str, OverrideSettings]) -> dict[str, OverrideSettings]:
        for airport, own in overrides.items():
            if not re.fullmatch(AIRPORT_PATTERN, airport):
                raise ValueError(f"'{airport}' is no airport's code; write it as in the data, for example LFPG")
            if own.method is not None:
                _candidate(own.method)
        return overrides

    def excluded(self, airport: str) -> bool:
        """Whether a person wants no forecast of the airport."""
        return airport in self.overrides and self.overrides[airport].exclude

    def rules(self, airport: str | None = None) -> "Rules":
        """How histories are treated; an airport's with the events that its override names."""
        from paxcast.core.treatment import Rules, Shock

        history, own = self.history, self.overrides.get(airport or "", OverrideSettings())
        return Rules(
            absent=self.source.absent,
            max_gap=history.max_gap,
            shocks=tuple(Shock(s.first, s.last, s.name) for s in (*history.shocks, *own.events)),
            find_shocks=history.find_shocks,
            shock_mode=history.shock_mode,
            outliers=history.outliers,
            calendar=history.calendar,
            country=self.country(airport) if airport and history.calendar == "holidays" else None,
        )

    def country(self, airport: str) -> str | None:
        """Whose public holidays an airport keeps: as stated, or by its code. Two letters, None if it is unknown."""
        from paxcast.core.treatment.public_holidays import country_of

        stated = self.overrides.get(airport, OverrideSettings()).country
        return stated or country_of(airport) or self.history.country

    def numbers(self) -> dict[str, Any]:
        """The part that changes numbers, as plain values: source mapping, history, candidates, search, folds."""
        content = self.model_dump(
            mode="json",
            include={"source", "horizon", "history", "candidates", "overrides", "search", "folds"},
        )
        for reading in ("path", "separator", "max_rejected_share", "faulty_copies", "airports"):
            content["source"].pop(reading, None)
        return {**content, "search": self.search.numbers(), "promotion": self.promotion.numbers()}

    def with_max_evals(self, max_evals: int | None) -> "Settings":
        """The same settings with another search budget; a different configuration, with its own run key."""
        if max_evals is None:
            return self
        try:
            search = SearchSettings.model_validate({**self.search.model_dump(), "max_evals": max_evals})
        except ValidationError as err:
            raise ConfigurationError(f"max_evals: {max_evals} is out of bounds; state 1 to 1000 evaluations") from err
        return self.model_copy(update={"search": search})

    def with_candidates(self, candidates: Sequence[str]) -> "Settings":
        """The same settings with other candidates. Raises ConfigurationError for one that there is not."""
        try:
            made = Settings.model_validate({**self.model_dump(mode="json"), "candidates": tuple(candidates)})
        except ValidationError as err:
            raise ConfigurationError(f"candidates: {err.errors()[0]['msg']}") from err
        return made.model_copy(update={"origin": self.origin})

    def with_numbers(self, numbers: dict[str, Any]) -> "Settings":
        """These settings with the numbers-changing part of a manifest, so that a retry computes what was planned."""
        plain = self.model_dump(mode="json")
        source = {**plain["source"], **numbers["source"]}
        search = self.search.with_numbers(numbers["search"])
        promotion = self.promotion.with_numbers(numbers["promotion"])
        own = {"source": source, "search": search, "promotion": promotion}
        merged = Settings.model_validate({**plain, **numbers, **own})
        return merged.model_copy(update={"origin": self.origin})

    @property
    def source_path(self) -> Path:
        """Where the `file` source reads: as written, or relative to the configuration file."""
        assert isinstance(self.source, FileSettings)
        return _absolute(self.source.path, self.origin)

    @cached_property
    def store_root(self) -> str:
        """The root of tables and objects: PAXCAST_STORE, else the file's, else .paxcast/store in the project.

        A folder is absolute: PAXCAST_STORE is relative to the working directory, the file's to the file.
        """
        stated = os.environ.get("PAXCAST_STORE")
        root, origin = (stated, "") if stated else (self.store, self.origin)
        if not root:
            return str(home() / "store")
        return root if "://" in root else str(_absolute(root, origin))

    @cached_property
    def tracking_uri(self) -> str:
        """MLFLOW_TRACKING_URI, else the file's, else a sqlite file in .paxcast."""
        return os.environ.get("MLFLOW_TRACKING_URI") or self.mlflow.tracking_uri or f"sqlite:///{home()}/mlflow.db"

    @property
    def experiment(self) -> str:
        return self.mlflow.experiment or f"paxcast-{self.fleet}"


def _absolute(path: str, origin: str) -> Path:
    """A path as written, ~ for the user's home, relative to the folder of the file `origin`, if there is one."""
    folder = Path(origin).parent if origin else Path()
    return (folder / os.path.expanduser(path)).resolve()  # noqa: PTH111 leaves ~nobody as it is, where Path raises


def secret(name: Literal["PAXCAST_SMTP_URL", "PAXCAST_WEBHOOK_URL"]) -> SecretStr | None:
    """An address with a password or a token in it, None if the environment has none. No settings keep it."""
    stated = os.environ.get(name, "").strip()  # a file of secrets often ends with a line break
    return SecretStr(stated) if stated else None


def home() -> Path:
    """Where everything goes that has no address of its own: PAXCAST_HOME, else .paxcast in the project."""
    folder = Path(os.environ.get("PAXCAST_HOME") or PROJECT / ".paxcast").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fleet_files() -> list[Path]:
    """Every fleet's file, sorted: those of PAXCAST_FLEETS (a folder), else of include/config/fleets."""
    return sorted(Path(os.environ.get("PAXCAST_FLEETS") or FLEETS).glob("*.yaml"))


def load(path: Path | None = None) -> Settings:
    """The settings in a YAML file (default: the demo fleet). Raises ConfigurationError naming the file and the key."""
    path = (path or DEMO).resolve()
    raw = _mapping(path)
    try:
        return Settings.model_validate({"fleet": _stem(path), **raw, "origin": str(path)})
    except ValidationError as err:
        raise ConfigurationError(_explained(path, err)) from err
    except ConfigurationError as err:
        raise ConfigurationError(f"{path}: {err}") from err


def _mapping(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ConfigurationError(f"{path}: no such configuration file") from err
    except OSError as err:
        raise ConfigurationError(f"{path}: cannot be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise ConfigurationError(f"{path}: not a text in UTF-8: {err}") from err
    except yaml.YAMLError as err:
        raise ConfigurationError(f"{path}: not valid YAML: {err}") from err
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path}: a configuration is a mapping that holds at least `source:`")
    if "origin" in raw:  # a field, but none that a file may set
        raise ConfigurationError(f"{path}: origin: unknown setting; remove it, or see docs/configuration.md")
    return raw


def read_fleets() -> tuple[dict[str, Settings], list[str]]:
    """Every fleet by its name, and what is wrong with the files that cannot be one: none of them hinders the others.

    Of two files that give the same name the first is the fleet, and the second is wrong.
    """
    found: dict[str, Settings] = {}
    wrong = []
    for path in fleet_files():
        try:
            settings = load(path)
        except ConfigurationError as err:
            wrong.append(str(err))
            continue
        first = found.setdefault(settings.fleet, settings)
        if first is not settings:
            wrong.append(f"{path}: fleet: '{settings.fleet}' is already the fleet of {first.origin}; use another name")
    return found, wrong


def load_fleet(fleet: str) -> Settings:
    """The settings of a fleet by its name, among `fleet_files`."""
    found, wrong = read_fleets()
    if fleet not in found:
        there = f"fleet '{fleet}' is not configured; there are: {', '.join(sorted(found)) or 'none'}"
        raise ConfigurationError("\n".join([there, *wrong]))
    return found[fleet]


def _stem(path: Path) -> str:
    return path.stem.lower().replace("-", "_").replace(" ", "_")


def _explained(path: Path, err: ValidationError) -> str:
    lines = []
    for problem in err.errors():
        keys = [str(part) for part in problem["loc"]]
        if keys[:1] == ["source"]:
            del keys[1:2]  # the kind, which pydantic puts there and nobody writes
        where = ".".join(keys)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{path}: {where}: unknown setting{_nearest(str(problem['loc'][-1]))}")
        else:
            lines.append(f"{path}: {where}: {problem['msg']}")
    return "\n".join(lines)


def _nearest(name: str) -> str:
    known = {field for section in Section.__subclasses__() for field in section.model_fields} - {name}
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else "; remove it, or see docs/configuration.md"
