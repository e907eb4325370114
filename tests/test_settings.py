"""One fleet's configuration: what is enough, what is refused and how, and what a run key covers."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from paxcast import settings as settings_module
from paxcast.core import candidate_files
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import digest
from paxcast.core.treatment import public_holidays
from paxcast.settings import Settings, fleet_files, load, load_fleet

MINIMAL = "source: {kind: file, path: traffic.csv}\n"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in ("PAXCAST_STORE", "MLFLOW_TRACKING_URI", "PAXCAST_FLEETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAXCAST_HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path):
    """Write a configuration file; text, or text that follows the minimal one."""

    def written(text="", name="europe.yaml", minimal=MINIMAL) -> Path:
        path = tmp_path / name
        path.write_text(minimal + text)
        return path

    return written


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    return message.replace(f"{path}: ", "")


# --- what is enough


def test_a_configuration_that_holds_only_its_source_is_complete(write):
    fleet = load(write())
    assert (fleet.fleet, fleet.schedule, fleet.horizon, fleet.candidates) == (
        *("europe", "weekly", None),
        settings_module.DEFAULT_CANDIDATES,
    )
    assert set(fleet.candidates) <= set(candidate_files.names())
    assert fleet.candidates[0] == "seasonal_naive"
    assert (fleet.folds.recent, fleet.folds.earlier_years) == (4, 2)
    assert [p.name for p in fleet.search.parameters()] == sorted(fleet.search.space)
    assert fleet.experiment == "paxcast-europe"


@pytest.mark.parametrize(
    ("name", "fleet"), [("europe.yaml", "europe"), ("North-Asia 2.yaml", "north_asia_2"), ("EU.prod.yaml", None)]
)
def test_a_fleet_is_named_by_the_stem_of_its_file(write, name, fleet):
    if fleet is None:
        assert "fleet: String should match pattern" in refusal(write(name=name))
    else:
        assert load(write(name=name)).fleet == fleet


def test_a_fleets_name_in_the_file_wins_over_the_stem(write):
    assert load(write("fleet: asia")).fleet == "asia"


def test_the_demo_fleet_is_what_loads_when_no_file_is_named():
    assert load().fleet == "demo"
    assert load() == load(settings_module.DEMO)


def test_every_fleet_of_the_project_loads_by_its_name():
    assert fleet_files()
    for path in fleet_files():
        assert load_fleet(load(path).fleet) == load(path)


def test_a_fleet_that_is_not_configured_is_refused_naming_those_that_are(write, tmp_path, monkeypatch):
    write()
    write(name="asia.yaml")
    monkeypatch.setenv("PAXCAST_FLEETS", str(tmp_path))
    assert load_fleet("asia").fleet == "asia"
    with pytest.raises(ConfigurationError, match="fleet 'africa' is not configured; there are: asia, europe"):
        load_fleet("africa")


def test_a_file_is_found_beside_the_configuration_that_names_it(write, tmp_path):
    assert load(write()).source_path == tmp_path / "traffic.csv"
    absolute = load(write("", minimal="source: {kind: file, path: /data/traffic.csv}"))
    assert absolute.source_path == Path("/data/traffic.csv")


# --- what is refused


@pytest.mark.parametrize(
    ("text", "where", "meant"),
    [
        ("shedule: weekly", "shedule", "schedule"),
        ("search: {max_eval: 3}", "search.max_eval", "max_evals"),
        ("history: {min_period: 3}", "history.min_period", "min_periods"),
        ("folds: {resent: 3}", "folds.resent", "recent"),
        ("promotion: {margins: 3}", "promotion.margins", "margin"),
        ("spark: {mastr: local}", "spark.mastr", "master"),
        ("mlflow: {tracking_url: x}", "mlflow.tracking_url", "tracking_uri"),
        ("overrides: {AAA: {exlude: true}}", "overrides.AAA.exlude", "exclude"),
        ("drift: {windows: 9}", "drift.windows", "window"),
        ("notify: {mail_to: [ada@example.org]}", "notify.mail_to", "email_to"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_one_that_was_meant(write, text, where, meant):
    assert refusal(write(text)) == f"{where}: unknown setting; did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("source", "where", "meant"),
    [
        ("kind: file, path: x, frequence: D", "source.frequence", "frequency"),
        ("kind: nycflights13, airport: 3", "source.airport", "airports"),
        ("kind: file, path: x, file: y", "source.file", "fleet"),
        ("kind: nycflights13, faulty_copies: {XGAP: {of: ATL, fault: gap, fualt: gap}}", None, "fault"),
    ],
)
def test_an_unknown_setting_of_the_source_is_named_without_its_kind(write, source, where, meant):
    where = where or "source.faulty_copies.XGAP.fualt"
    assert refusal(write(minimal=f"source: {{{source}}}")) == f"{where}: unknown setting; did you mean '{meant}'?"


def test_an_unknown_setting_like_no_other_is_refused_with_where_to_read(write):
    assert refusal(write("zzzz: 1")) == "zzzz: unknown setting; remove it, or see docs/configuration.md"


def test_every_wrong_setting_is_told_at_once(write):
    message = refusal(write("horizon: 0\nbatches: 1000\nzzzz: 1"))
    assert [line.split(":")[0] for line in message.splitlines()] == ["horizon", "batches", "zzzz"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "source: Field required"),
        ("source: traffic.csv", "source: Input should be"),
        ("source: {kind: oracle}", "source: Input tag 'oracle'"),
        ("source: {kind: file}", "source.path: Field required"),
        (MINIMAL + "candidates: [magic]", "candidates.0: Input should be"),
        (MINIMAL + "candidates: [prophet, mstl, prophet]", "candidates: Value error, 'prophet' is named twice"),
        (MINIMAL + "fleet: Über", "fleet: String should match"),
        (MINIMAL + "overrides: {lfpg: {exclude: true}}", "overrides: Value error, 'lfpg' is no airport's code"),
        (MINIMAL + "overrides: {AAA: {method: magic}}", "overrides: Input should be one of"),
        (MINIMAL + "overrides: {AAA: {parameters: {grows: 1}}}", "overrides.AAA.parameters: Value error, grows: not a"),
        (
            MINIMAL + "overrides: {AAA: {parameters: {growth: up}}}",
            "overrides.AAA.parameters: Value error, growth: 'up'",
        ),
        (
            MINIMAL + "overrides: {AAA: {events: [{name: fire, first: 2019-02-01, last: 2019-01-01}]}}",
            "overrides.AAA.events.0: Value error, fire ends 2019-01-01, before it begins 2019-02-01; turn them",
        ),
        (
            MINIMAL + "history: {shocks: [{name: war, first: 2019-02-01, last: 2019-01-01}]}",
            "history.shocks.0: Value error, war ends 2019-01-01, before it begins 2019-02-01; turn them",
        ),
        (MINIMAL + "search:", "search: Input should be"),
        (MINIMAL + "history: {calendar: feasts}", "history.calendar: Input should be 'none', 'weekdays' or 'holidays'"),
        (MINIMAL + "history: {country: France}", "history.country: String should match pattern"),
        (MINIMAL + "history: {country: NO}", "history.country: Value error, NO without quotes means false in YAML"),
        (MINIMAL + "history: {country: UK}", "history.country: Value error, no public holidays are known of 'UK'"),
        (MINIMAL + "overrides: {AAA: {country: fr}}", "overrides.AAA.country: String should match pattern"),
        (MINIMAL + "retention: {tables_days: 0}", "retention.tables_days: Input should be greater than or equal to 1"),
        (MINIMAL + "retention: {trials_days: 500}", "retention: Value error, trials_days, 500, is more than runs_days"),
        (MINIMAL + "drift: {q: 0}", "drift.q: Input should be greater than 0"),
        (MINIMAL + "drift: {q: 0.5}", "drift.q: Input should be less than 0.5"),
        (MINIMAL + "drift: {q: .nan}", "drift.q: Input should be"),
        (MINIMAL + "drift: {window: 3}", "drift.window: Input should be greater than or equal to 4"),
        (MINIMAL + "drift: {window: 27}", "drift.window: Input should be less than or equal to 26"),
        (MINIMAL + "drift: {reference: 23}", "drift.reference: Input should be greater than or equal to 24"),
        (MINIMAL + "drift: {reference: 261}", "drift.reference: Input should be less than or equal to 260"),
        (MINIMAL + "drift: {budget: -1}", "drift.budget: Input should be greater than or equal to 0"),
        (MINIMAL + "drift: {stale_after: 0}", "drift.stale_after: Input should be greater than or equal to 1"),
        (
            MINIMAL + "drift: {reference: 24, window: 13}",
            "drift: Value error, reference, 24, is less than twice window",
        ),
        (
            MINIMAL + "notify: {email_to: [ada@example.org]}",
            "notify: Value error, email_to is stated and email_from is",
        ),
        (MINIMAL + "notify: {email_from: nobody}", "notify.email_from: String should match pattern"),
        (MINIMAL + 'notify: {email_to: ["a@b.c, d@e.f"], email_from: a@b.c}', "notify.email_to.0: String should match"),
        (MINIMAL + 'notify: {email_to: ["a@b.c\\nBcc: d@e.f"]}', "notify.email_to.0: String should match"),
        (MINIMAL + "notify: {webhook: 'https://hooks.example.org'}", "notify.webhook: Input should be a valid boolean"),
    ],
)
def test_a_bad_value_is_refused_with_its_place(write, text, where):
    assert refusal(write(minimal=f"max_failed_share: 0.1\n{text}")).startswith(where)


@pytest.mark.parametrize(
    ("space", "place"),
    [
        ("{nonsense: {uniform: [0, 1]}}", "search.space.nonsense: "),
        ("{growth: {}}", "search.space.growth: "),
        ("{growth: linear}", "search.space.growth: "),
        ("{growth: {choice: linear}}", "search.space.growth.choice: "),
        ("{growth: {choice: [{a: 1}]}}", "search.space.growth.choice.0"),
        ("{growth: {uniform: [0, 1]}}", "search.space.growth: "),
        ("{changepoint_range: {uniform: [0.9, 0.8]}}", "search.space.changepoint_range: "),
        ("{changepoint_prior_scale: {loguniform: [1e-3, 1]}}", "search.space.changepoint_prior_scale: "),
        ("{n_changepoints: {quniform: [5, 25, 50]}}", "search.space.n_changepoints: "),
        ("[growth]", "search.space: "),
    ],
)
def test_every_refusal_of_a_bad_search_space_names_its_file_and_place(write, space, place):
    assert all(line.startswith(place) for line in refusal(write(f"search: {{space: {space}}}")).splitlines())


@pytest.mark.parametrize(("content", "message"), [("", "a configuration is a mapping"), ("a: [", "not valid YAML")])
def test_a_file_that_is_no_mapping_is_refused(write, content, message):
    assert refusal(write(minimal=content)).startswith(message)


def test_a_file_that_is_not_there_is_refused_naming_it(tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape(f"{tmp_path}/no.yaml: no such configuration file")):
        load(tmp_path / "no.yaml")


def test_where_a_configuration_came_from_is_no_setting_of_it(write):
    assert refusal(write("origin: elsewhere.yaml")) == (
        "origin: unknown setting; remove it, or see docs/configuration.md"
    )


# --- what changes numbers

FULL = """
horizon: 6
history: {min_periods: 20}
search: {max_evals: 7, space: {growth: {choice: [flat]}}}
folds: {recent: 3}
promotion: {margin: 0.05}
overrides:
  AAA: {method: mstl, events: [{name: fire, first: 2019-01-01, last: 2019-02-01}]}
  BBB: {parameters: {growth: flat, n_changepoints: 7}, exclude: true}
"""
CHANGES = [
    "horizon: 7",
    "history: {max_gap: 3}",
    "history: {shocks: []}",
    "history: {find_shocks: false}",
    "history: {shock_mode: keep}",
    "history: {shock_mode: event}",
    "history: {outliers: false}",
    "history: {calendar: none}",
    "history: {calendar: weekdays}",
    "history: {country: FR}",
    "overrides: {AAA: {method: seasonal_naive}}",
    "overrides: {AAA: {parameters: {growth: flat}}}",
    "overrides: {AAA: {exclude: true}}",
    "overrides: {AAA: {country: FR}}",
    "overrides: {AAA: {events: [{name: fire, first: 2019-01-01, last: 2019-02-01}]}}",
    "candidates: [seasonal_naive]",
    "search: {algorithm: random}",
    "search: {max_evals: 3}",
    "search: {patience: 5}",
    "search: {prune: false}",
    "search: {mode: spark_trials}",
    "search: {space: {growth: {choice: [flat]}}}",
    "folds: {recent: 2}",
    "folds: {earlier_years: 1}",
    "promotion: {margin: 0.1}",
]
NO_CHANGES = [
    "spark: {master: 'local[8,4]', partitions: 9}",
    "batches: 9",
    "store: s3://bucket/paxcast",
    "mlflow: {tracking_uri: 'http://mlflow', experiment: x}",
    "mlflow: {charts: all, writers: 2}",
    "retention: {trials_days: 3, runs_days: 4, tables_days: 5}",
    "drift: {q: 0.05, window: 4, reference: 52, budget: 3, stale_after: 9}",
    "notify: {log: false, email_to: [a@b.c], email_from: d@e.f, webhook: true, webhook_plain_http: true}",
    "search: {seconds_per_airport: 5}",
    "search: {mode: local}",
    "search: {parallelism: 3}",
    "schedule: monthly",
    "start_date: 2015-01-01",
    "max_failed_share: 0.5",
    "fleet: asia",
]


@pytest.mark.parametrize(("text", "changes"), [*((t, True) for t in CHANGES), *((t, False) for t in NO_CHANGES)])
def test_exactly_what_changes_numbers_is_in_the_configurations_hash(write, text, changes):
    assert (digest(load(write(text)).numbers()) != digest(load(write()).numbers())) == changes


def test_how_many_evaluations_run_at_a_time_counts_only_where_they_do(write):
    two, three = (load(write(f"search: {{mode: spark_trials, parallelism: {n}}}")) for n in (2, 3))
    assert two.numbers() != three.numbers()


@pytest.mark.parametrize(
    ("planned", "now", "runs"),
    [
        ("spark_trials", "local", "spark_trials"),
        ("spark_trials", "per_airport", "spark_trials"),
        ("per_airport", "spark_trials", "per_airport"),
        ("per_airport", "local", "local"),
        ("local", "per_airport", "per_airport"),
    ],
)
def test_a_retry_runs_in_the_mode_of_now_unless_that_would_change_what_was_planned(write, planned, now, runs):
    numbers = load(write(f"search: {{mode: {planned}, parallelism: 3}}")).numbers()
    merged = load(write(f"search: {{mode: {now}, parallelism: 9}}")).with_numbers(numbers)
    assert merged.search.mode == runs
    assert merged.numbers() == numbers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("search: {mode: spark_trials, algorithm: grid, space: {growth: {choice: [flat]}}}", "tpe, anneal, random"),
        ("search: {mode: spark_trials, algorithm: optuna_tpe}", "use per_airport"),
        ("search: {algorithm: grid}", "search.space.anchor: a grid needs finite values"),
        ("search: {algorithm: grid, max_evals: 1, space: {growth: {choice: [flat, linear]}}}", "search.max_evals"),
    ],
)
def test_a_search_that_cannot_be_run_as_asked_is_refused_with_what_to_do(write, text, told):
    assert told in refusal(write(text))


MAPPING = {"airport": "code", "date": "month", "value": "pax", "known_at": "published", "frequency": "MS"}
MAPPING |= {"absent": "zero", "delay_days": 3, "date_format": "%d/%m/%Y", "decimal": ","}
WHERE = {"path": "elsewhere.csv", "separator": ";", "max_rejected_share": 0.5}


@pytest.mark.parametrize(("key", "value"), [*MAPPING.items(), *WHERE.items()])
def test_how_a_source_is_mapped_is_in_the_hash_and_where_it_lies_is_not(write, key, value):
    source = {"kind": "file", "path": "traffic.csv", key: value}
    changed = load(write(minimal=yaml.safe_dump({"source": source})))
    assert (digest(changed.numbers()) != digest(load(write()).numbers())) == (key in MAPPING)


def test_the_numbers_are_plain_values_that_survive_json(write):
    numbers = load(write(FULL)).numbers()
    assert json.loads(json.dumps(numbers)) == numbers
    assert sorted(numbers) == [
        *("candidates", "folds", "history", "horizon", "overrides", "promotion", "search", "source")
    ]
    assert "seconds_per_airport" not in numbers["search"]
    assert "path" not in numbers["source"]


def test_settings_with_their_own_numbers_are_the_same_settings(write):
    for text in ("", FULL):
        fleet = load(write(text))
        assert fleet.with_numbers(json.loads(json.dumps(fleet.numbers()))) == fleet
        assert fleet.with_numbers(fleet.numbers()).source_path == fleet.source_path


def test_settings_with_the_numbers_of_a_manifest_compute_what_was_planned_where_they_run_now(write):
    planned = load(write(FULL)).numbers()
    now = load(write("batches: 9\nstore: /elsewhere\nsearch: {seconds_per_airport: 5, max_evals: 99}", "asia.yaml"))
    merged = now.with_numbers(planned)
    assert merged.numbers() == planned
    assert (merged.fleet, merged.batches, merged.store, merged.search.seconds_per_airport) == (
        "asia",
        9,
        "/elsewhere",
        5,
    )


def test_another_budget_is_another_configuration_and_none_is_the_same(write):
    fleet = load(write(FULL))
    assert fleet.with_max_evals(None) is fleet
    assert fleet.with_max_evals(3).search.max_evals == 3
    assert fleet.with_max_evals(3).numbers() == fleet.numbers() | {
        "search": fleet.numbers()["search"] | {"max_evals": 3}
    }


@pytest.mark.parametrize("budget", [0, -1, 1001])
def test_a_budget_out_of_bounds_is_refused_with_the_bounds(write, budget):
    with pytest.raises(
        ConfigurationError, match=f"^max_evals: {budget} is out of bounds; state 1 to 1000 evaluations$"
    ):
        load(write()).with_max_evals(budget)


# --- airports of their own


def test_the_events_of_an_airport_join_the_shocks_of_the_fleet_for_it_alone(write):
    fleet = load(write(FULL))
    shocks = {airport: [shock.name for shock in fleet.rules(airport).shocks] for airport in ("AAA", "BBB", None)}
    assert shocks["BBB"] == shocks[None] == ["after 9/11", "financial crisis", "Covid-19"]
    assert shocks["AAA"] == [*shocks[None], "fire"]


COUNTRIES = "overrides: {LFPG: {country: BE}, QQQ: {country: CH}}"


def test_an_airport_keeps_the_holidays_of_its_own_country_or_of_the_override_or_else_of_the_fleet(write):
    told = {}
    for history in ("", "history: {country: GB}\n"):
        fleet = load(write(history + COUNTRIES))
        told[history] = [
            fleet.rules(airport).country for airport in ("JFK", "EGLL", "LFPG", "QQQ", "QQQQ", "A-1", None)
        ]
    alone, stated = told.values()
    assert alone == ["US", "GB", "BE", "CH", None, None, None]
    assert stated == ["US", "GB", "BE", "CH", "GB", "GB", None]


def test_the_calendar_is_taken_out_with_its_holidays_unless_something_else_is_said(write):
    assert load(write()).rules("JFK").calendar == "holidays"
    for which in ("none", "weekdays", "holidays"):
        assert load(write(f"history: {{calendar: {which}}}")).rules("JFK").calendar == which
    assert load(write()).rules("JFK").feasts_moved == 0
    assert load(write("history: {calendar: weekdays}\n" + COUNTRIES)).rules("LFPG").country is None


@pytest.mark.parametrize(("which", "read"), [("none", False), ("weekdays", False), ("holidays", True)])
def test_where_no_holidays_count_no_table_of_airports_is_read(write, which, read):
    path = write(f"history: {{calendar: {which}, country: FR}}")
    code = (
        "import sys; from pathlib import Path; from paxcast.settings import load; "
        f"print(load(Path({str(path)!r})).rules('JFK').country, 'airportsdata' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.split() == (["US", "True"] if read else ["None", "False"])


def test_the_country_of_an_override_needs_no_table_of_airports(write):
    public_holidays._airports.cache_clear()
    assert load(write(COUNTRIES)).rules("LFPG").country == "BE"
    assert public_holidays._airports.cache_info().misses == 0


def test_an_airport_is_excluded_only_where_that_is_said(write):
    fleet = load(write(FULL))
    assert [fleet.excluded(airport) for airport in ("AAA", "BBB", "CCC")] == [False, True, False]


def test_other_candidates_leave_the_other_settings_as_they_are(write):
    fleet = load(write(FULL))
    other = fleet.with_candidates(["mstl", "auto_ets"])
    assert other.candidates == ("mstl", "auto_ets")
    assert other.model_copy(update={"candidates": fleet.candidates}) == fleet
    assert other.store_root == fleet.store_root


@pytest.mark.parametrize("names", [["magic"], ["mstl", "mstl"]])
def test_candidates_that_cannot_be_are_refused_by_their_name(write, names):
    with pytest.raises(ConfigurationError, match=rf"^candidates: .*({names[0]}|mstl)"):
        load(write()).with_candidates(names)


# --- the environment


def test_the_environment_wins_over_the_file(write, monkeypatch):
    monkeypatch.setenv("PAXCAST_STORE", "s3://bucket/env")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////tmp/env.db")
    fleet = load(write("store: /from/file\nmlflow: {tracking_uri: 'http://file'}"))
    assert (fleet.store_root, fleet.tracking_uri) == ("s3://bucket/env", "sqlite:////tmp/env.db")


def test_the_file_wins_over_the_defaults_which_are_in_paxcasts_home(write, tmp_path):
    stated = load(write("store: /from/file\nmlflow: {tracking_uri: 'http://file', experiment: mine}"))
    assert (stated.store_root, stated.tracking_uri, stated.experiment) == ("/from/file", "http://file", "mine")
    default = load(write())
    home = tmp_path / "home"
    assert (default.store_root, default.tracking_uri) == (f"{home}/store", f"sqlite:///{home}/mlflow.db")


@pytest.mark.parametrize(
    ("stated", "root"), [("store", "{file}/store"), ("../store", "{file}/../store"), ("~/store", "{user}/store")]
)
def test_a_store_is_found_beside_the_configuration_that_names_it(write, tmp_path, monkeypatch, stated, root):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    expected = Path(root.format(file=tmp_path, user=tmp_path / "user")).resolve()
    assert load(write(f"store: {stated}")).store_root == str(expected)


def test_a_store_of_the_environment_is_found_from_the_working_directory_and_stays_there(write, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PAXCAST_STORE", "mine")
    assert load(write("store: other")).store_root == str(tmp_path / "work" / "mine")


@pytest.mark.parametrize("address", ["s3://bucket/paxcast", "file:///data/../store", "memory://"])
def test_an_address_of_an_object_store_is_taken_as_it_is(write, monkeypatch, address):
    assert load(write(f"store: {address}")).store_root == address
    monkeypatch.setenv("PAXCAST_STORE", address)
    assert load(write()).store_root == address


def test_a_source_under_the_users_home_is_found_there(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    at_home = load(write(minimal="source: {kind: file, path: ~/traffic.csv}"))
    assert at_home.source_path == tmp_path / "user" / "traffic.csv"


# --- drift, and who is told of it


def test_drift_is_watched_and_told_in_the_log_if_nothing_is_said(write):
    fleet = load(write())
    assert fleet.drift.model_dump() == {
        **{"q": 0.10, "window": 8, "reference": 104, "budget": 50},
        "stale_after": None,
    }
    assert fleet.notify.model_dump() == {
        **{"log": True, "email_to": (), "email_from": None},
        **{"webhook": False, "webhook_plain_http": False},
    }


def test_the_bounds_of_drift_can_be_reached(write):
    for text in ("q: 0.49, window: 4, reference: 24, budget: 0, stale_after: 1", "window: 26, reference: 260"):
        assert load(write(f"drift: {{{text}}}")).drift.budget in (0, 50)
    assert load(write("drift: {window: 12, reference: 24}")).drift.window == 12


SECRETS = ("PAXCAST_SMTP_URL", "PAXCAST_WEBHOOK_URL")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_of_the_environment_as_it_is_now_and_without_the_line_break_of_its_file(monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    assert settings_module.secret(name) is None
    for stated, found in (("https://host/T0K3N\n", "https://host/T0K3N"), ("smtp://host", "smtp://host")):
        monkeypatch.setenv(name, stated)
        assert settings_module.secret(name).get_secret_value() == found
    monkeypatch.setenv(name, " \n")
    assert settings_module.secret(name) is None


def test_no_settings_keep_a_secret_and_none_shows_itself(write, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "https://host/T0K3N")
    fleet = load(write("notify: {webhook: true}"))
    found = [settings_module.secret(name) for name in SECRETS]
    for shown in (repr(fleet), str(vars(fleet)), fleet.model_dump_json(), repr(found), str(found), f"{found[0]}"):
        assert "T0K3N" not in shown
    assert b"T0K3N" not in pickle.dumps(fleet)


@pytest.mark.parametrize("key", ["smtp_url", "webhook_url"])
def test_a_secret_cannot_be_stated_in_the_file(write, key):
    told = refusal(write(f"notify: {{{key}: 'smtp://robot:T0K3N@host'}}"))
    assert told.startswith(f"notify.{key}: unknown setting")
    assert "T0K3N" not in told


def test_the_settings_are_read_without_pandas_and_numpy():
    code = "import sys, paxcast.settings; print({'pandas', 'numpy'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.strip() == "set()"


def test_settings_cannot_be_changed(write):
    with pytest.raises(ValueError, match="frozen"):
        load(write()).horizon = 3  # type: ignore[misc]


def test_every_setting_is_either_in_the_numbers_or_known_not_to_change_them(write):
    running = {"schedule", "start_date", "max_failed_share", "batches", "retries", "spark"}
    outside = {"fleet", "store", "mlflow", "retention", "drift", "notify", "origin"} | running
    assert set(Settings.model_fields) == outside | set(load(write()).numbers())


def test_every_candidate_that_has_a_file_can_be_named(write):
    names = candidate_files.names()
    assert load(write(f"candidates: [{', '.join(names)}]")).candidates == names
    assert len(names) > 10
