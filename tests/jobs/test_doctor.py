"""The doctor: what it looks at, and what it advises where something is missing."""

import importlib
import stat
from dataclasses import replace

import pandas as pd
import pytest

from paxcast.jobs import doctor
from paxcast.jobs.workspace import Workspace
from paxcast.sections import NotifySettings

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")


def test_every_check_says_what_it_found_and_only_what_is_not_well_gets_advice(ws: Workspace) -> None:
    checks = doctor.doctor(ws, NOW)
    names = ["java", "pyspark", "engine", "lightgbm", "store", "mlflow", "disk", "clock", "overrides", "notify"]
    assert [check.name for check in checks] == names
    for check in checks:
        assert check.found, check.name
        assert bool(check.advice) != check.well, check


def test_a_lightgbm_that_cannot_be_loaded_is_told_with_the_library_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    assert doctor._lightgbm().well
    monkeypatch.setattr(importlib, "import_module", missing)
    found = doctor._lightgbm()
    assert not found.well
    assert "libgomp.so.1" in found.found
    assert "libgomp1" in found.advice
    assert "fleet_gbm" in found.advice


def test_looking_at_a_store_leaves_nothing_behind(ws: Workspace) -> None:
    doctor.doctor(ws, NOW)
    assert list(ws.objects.names("")) == []


def test_java_is_held_to_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n", encoding="utf-8")
    old.chmod(old.stat().st_mode | stat.S_IEXEC)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = doctor._java()
    assert not found.well
    assert "11.0.2" in found.found
    assert found.advice


def test_a_channel_without_its_address_is_told_before_there_is_anything_to_send(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAXCAST_WEBHOOK_URL", raising=False)
    on = replace(ws, settings=ws.settings.model_copy(update={"notify": NotifySettings(log=False, webhook=True)}))
    found = doctor._notify(on)
    assert (found.well, found.found) == (False, "of drift: webhook, without PAXCAST_WEBHOOK_URL")
    monkeypatch.setenv("PAXCAST_WEBHOOK_URL", "https://hooks.example.org/of-nobody")
    assert doctor._notify(on).well
    assert "of-nobody" not in str(doctor._notify(on))
