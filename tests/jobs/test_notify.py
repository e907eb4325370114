"""Who is told of a drift check, when, and of what: checks by hand in a real store, real servers on this machine."""

import json
import logging
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.delta_store import TABLES
from paxcast.core import calendar
from paxcast.core.errors import ConfigurationError, InfrastructureError
from paxcast.jobs import drift_report
from paxcast.jobs import notify as job
from paxcast.jobs.notify import Told, notify
from paxcast.jobs.workspace import Workspace
from paxcast.sections import NotifySettings

TOKEN = "T0K3N"
PAGE = "/somewhere/index.html"
DAYS = [f"2020-03-{day:02d}" for day in range(1, 31)]
WELL = {"alert": False, "p": 0.5, "shift": 0.1, "share": 0.2, "cycle": "2020-02-24", "since": ""}
CHANGED = {"alert": True, "p": 0.0004, "shift": -2.25, "share": 0.81, "cycle": "2020-02-24", "since": "2020-02-17"}
COUNTED = ("airports", "tested", "drifted", "watch", "fault", "retrain", "fallback", "escalate", "wait")
Hook = Any
Row = dict[str, Any]


# --- servers


class Hooked(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Hook = self.server
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        server.received += [text] if server.status == 200 else []
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing of it on stderr."""


class Mailed(socketserver.StreamRequestHandler):
    """As much of SMTP as one e-mail takes."""

    def handle(self) -> None:
        server: Any = self.server
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            verb, answer = line[:4].upper(), "250 yes"
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                server.received.append(message_from_bytes(b"".join(lines), policy=policy.default))
            elif verb == b"RCPT" and any(one.encode() in line for one in server.unknown):
                answer = "550 no"
            elif verb == b"QUIT":
                answer = "221 bye"
            self.wfile.write(f"{answer}\r\n".encode())


def serving(server: Any, **state: Any) -> Iterator[Any]:
    vars(server).update(received=[], **state)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """A webhook that works, until its `status` says otherwise; `received`: texts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hooked)
    monkeypatch.setenv("PAXCAST_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/services/{TOKEN}")
    yield from serving(server, status=200)


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A mail server; `received`: e-mails."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailed)
    monkeypatch.setenv("PAXCAST_SMTP_URL", f"smtp://127.0.0.1:{server.server_address[1]}/?starttls=no")
    yield from serving(server, unknown=[])


# --- checks


def row(airport: str, severity: str = "moderate", action: str = "retrain", **fields: Any) -> Row:
    """What a check found of one airport."""
    base = {"cycle": "2020-02-24", "tested": True, "drifted": severity in ("moderate", "severe"), "p": 0.01, "q": 0.02}
    text = {"ratio": 1.8, "reasons": '["loss"]', "fault": "", "why": "", "pinned": "", "version": 1, "cusum": "[]"}
    return {**base, **text, "airport": airport, "severity": severity, "action": action, **fields}


def well(*airports: str) -> list[Row]:
    return [row(airport, "none", "none", p=0.5, q=0.9, reasons="[]") for airport in airports]


@pytest.fixture
def only(ws: Workspace) -> Callable[..., Workspace]:
    """The workspace with some channels: `only(webhook=True)`; not the log unless asked for."""

    def made(**channels: Any) -> Workspace:
        wanted = NotifySettings.model_validate({"log": False, **channels})
        return replace(ws, settings=ws.settings.model_copy(update={"notify": wanted}))

    return made


@pytest.fixture
def by_hook(only: Callable[..., Workspace], hook: Hook) -> Workspace:
    return only(webhook=True)


def check(ws: Workspace, day: str, rows: list[Row], world: Row = WELL, **said: Any) -> str:
    """Put a check in the store as the drift job does; its key. said: what else its object holds."""
    key = f"{ws.fleet}-{calendar.parse_as_of(day):%Y%m%dT%H%M%S}-drift"
    same = {"fleet": ws.fleet, "check_key": key, "run_key": key, "as_of": day}
    frame = pd.DataFrame([{**same, **one} for one in rows]).reindex(columns=TABLES["drift"].names)
    ws.tables.replace("drift", frame, {"fleet": ws.fleet, "check_key": key})
    counts = dict.fromkeys(COUNTED, 0) | {"airports": len(rows), "tested": len(rows)}
    counts["drifted"] = sum(one["drifted"] for one in rows)
    for name in ("watch", "fault"):
        counts[name] = sum(one["severity"] == name for one in rows)
    for name in ("retrain", "fallback", "escalate", "wait"):
        counts[name] = sum(one["action"] == name for one in rows)
    value = {"check_key": key, "as_of": day, "world": world, "counts": counts, "data_version": 3, "page": ""}
    ws.objects.put(f"drift/{ws.fleet}/{key}.json", {**value, "settings": {}, **said})
    return key


def tell(ws: Workspace, day: str, rows: list[Row], world: Row = WELL) -> Told:
    return notify(ws, check(ws, day, rows, world), PAGE)


# --- what is news


def test_a_fleet_in_which_all_is_well_from_the_first_is_nothing_to_tell(by_hook: Workspace, hook: Hook) -> None:
    told = tell(by_hook, DAYS[0], well("AAA", "BBB"))
    assert told == Told("small-20200302T000000-drift", (), ("webhook",))
    assert hook.received == []


def test_what_was_told_is_not_told_again_by_the_next_check_whatever_its_numbers(by_hook: Workspace, hook: Hook) -> None:
    assert tell(by_hook, DAYS[0], [row("AAA"), *well("BBB")]).told == ("webhook",)
    later = [row("AAA", p=0.001, q=0.004, ratio=2.5, cycle="2020-03-02", why="more"), *well("BBB", "CCC")]
    assert tell(by_hook, DAYS[1], later, {**WELL, "p": 0.2}).unchanged == ("webhook",)
    assert len(hook.received) == 1


NEWS = {
    "world": ([row("AAA"), *well("BBB")], CHANGED),
    "severity": ([row("AAA", "severe"), *well("BBB")], WELL),
    "action": ([row("AAA", action="wait"), *well("BBB")], WELL),
    "fault": ([row("AAA", fault="unit"), *well("BBB")], WELL),
    "airport": ([row("AAA"), row("BBB")], WELL),
    "another airport": ([row("BBB"), *well("AAA")], WELL),
    "something to do": ([row("AAA"), row("BBB", "none", "escalate")], WELL),
    "all is well": (well("AAA", "BBB"), WELL),
}


@pytest.mark.parametrize("what", NEWS)
def test_news_is_another_world_severity_fault_action_or_airport(by_hook: Workspace, hook: Hook, what: str) -> None:
    tell(by_hook, DAYS[0], [row("AAA"), *well("BBB")])
    for day in DAYS[1:3]:
        told = tell(by_hook, day, *NEWS[what])
        assert told.told == (("webhook",) if day == DAYS[1] else ())
    assert len(hook.received) == 2


@pytest.mark.parametrize(
    ("what", "first", "then", "told"),
    [
        ("overdue", "5 weeks after 2020-01-06", "6 weeks after 2020-01-06", "no data of the 5 weeks after 2020-01-06"),
        ("ended", 7, 8, "forecasts of 7 have ended"),
    ],
)
def test_that_data_or_forecasts_have_ended_is_news_once_however_long_it_lasts(
    by_hook: Workspace, hook: Hook, what: str, first: Any, then: Any, told: str
) -> None:
    for day, value in zip(DAYS, (first, then), strict=False):
        notify(by_hook, check(by_hook, day, well("AAA"), **{what: value}, notes=[f"in words: {value}"]), PAGE)
    (text,) = hook.received
    assert text.splitlines()[0].endswith(f": {told}")
    assert f"in words: {first}" in text
    tell(by_hook, "2021-01-01", well("AAA"))
    assert hook.received[1].splitlines()[0].endswith(": nothing is left to do")


def test_a_check_that_looked_back_is_told_to_nobody(by_hook: Workspace, hook: Hook) -> None:
    key = check(by_hook, DAYS[0], [row("AAA")], looked_back=True)
    assert notify(by_hook, key, PAGE).told == ()
    assert hook.received == []


def test_a_fleet_that_is_well_again_is_told_so_once(by_hook: Workspace, hook: Hook) -> None:
    for at, rows in enumerate([[row("AAA")], well("AAA"), well("AAA"), [row("AAA")]]):
        tell(by_hook, DAYS[at], rows)
    assert [text.splitlines()[0] for text in hook.received] == [
        "small, drift as of 2020-03-01: 1 of 1 airports drifted",
        "small, drift as of 2020-03-02: nothing is left to do",
        "small, drift as of 2020-03-04: 1 of 1 airports drifted",
    ]


def test_a_check_of_an_earlier_date_than_the_last_one_told_is_no_news(by_hook: Workspace, hook: Hook) -> None:
    tell(by_hook, DAYS[5], [row("AAA")])
    assert tell(by_hook, DAYS[2], [row("BBB")]).unchanged == ("webhook",)
    assert tell(by_hook, DAYS[6], [row("AAA")]).unchanged == ("webhook",)
    assert tell(by_hook, DAYS[4], [row("BBB")]).unchanged == ("webhook",)  # nor than the last one that was no news
    assert len(hook.received) == 1


def test_after_a_quiet_check_one_of_an_earlier_date_is_no_news_and_neither_is_the_quiet_after_it(
    by_hook: Workspace, hook: Hook
) -> None:
    for at, rows in ((5, well("AAA")), (2, [row("AAA")]), (6, well("AAA"))):
        assert tell(by_hook, DAYS[at], rows).told == ()
    assert hook.received == []


def test_a_check_that_finds_something_else_the_second_time_is_told_again(by_hook: Workspace, hook: Hook) -> None:
    for rows in ([row("AAA")], [row("BBB")], [row("BBB")], [row("AAA")]):
        tell(by_hook, DAYS[0], rows)
    assert [re.findall("[AB]{3}", text) for text in hook.received] == [["AAA"], ["BBB"], ["AAA"]]
    assert tell(by_hook, DAYS[1], [row("AAA")]).unchanged == ("webhook",)


# --- each channel by itself


def test_every_channel_is_told_once_and_a_retry_tells_nobody(
    only: Callable[..., Workspace], hook: Hook, mail: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ws = only(log=True, webhook=True, email_to=["ada@example.org", "bob@example.org"], email_from="me@example.org")
    with caplog.at_level(logging.INFO, "paxcast.notify"):
        key = check(ws, DAYS[0], [row("AAA")])
        assert notify(ws, key, PAGE).told == ("log", "email", "webhook")
        assert notify(ws, key, PAGE) == Told(key, (), ("log", "email", "webhook"))
    [text], [message] = hook.received, mail.received
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [text]
    assert message.get_content().replace("\r\n", "\n") == text
    assert message["Subject"] == text.splitlines()[0]
    assert (message["To"], message["From"]) == ("ada@example.org, bob@example.org", "me@example.org")


def test_with_every_channel_off_nobody_is_told(only: Callable[..., Workspace], hook: Hook) -> None:
    ws = only()
    key = check(ws, DAYS[0], [row("AAA")])
    assert notify(ws, key, PAGE) == Told(key, (), ())
    assert list(ws.objects.names("told")) == []


def test_the_log_alone_is_told_unless_something_else_is_said(ws: Workspace, hook: Hook) -> None:
    assert tell(ws, DAYS[0], [row("AAA")]).told == ("log",)
    assert hook.received == []


def test_a_channel_that_is_new_is_told_what_the_others_know(only: Callable[..., Workspace], hook: Hook) -> None:
    assert tell(only(log=True), DAYS[0], [row("AAA")]).told == ("log",)
    assert tell(only(log=True, webhook=True), DAYS[1], [row("AAA")]) == Told(
        "small-20200303T000000-drift", ("webhook",), ("log",)
    )


def test_a_channel_that_fails_hinders_no_other_and_a_retry_tells_it_alone(
    only: Callable[..., Workspace], hook: Hook, mail: Any
) -> None:
    ws = only(log=True, webhook=True, email_to=["ada@example.org"], email_from="me@example.org")
    key = check(ws, DAYS[0], [row("AAA")])
    hook.status = 500
    for _ in range(2):
        with pytest.raises(InfrastructureError, match=f"^{key}: webhook: PAXCAST_WEBHOOK_URL: not posted") as error:
            notify(ws, key, PAGE)
        assert TOKEN not in str(error.value)
    hook.status = 200
    assert notify(ws, key, PAGE) == Told(key, ("webhook",), ("log", "email"))
    assert "could not be sent" not in hook.received[0]
    assert (len(mail.received), len(hook.received)) == (1, 1)


def test_the_error_says_who_was_told(only: Callable[..., Workspace], hook: Hook, mail: Any) -> None:
    ws = only(log=True, webhook=True, email_to=["ada@example.org"], email_from="me@example.org")
    mail.unknown = ["ada@example.org"]
    with pytest.raises(InfrastructureError, match=r"email: .*notify\.email_to \(550\)\. Told: log, webhook\. What"):
        tell(ws, DAYS[0], [row("AAA")])


def test_addresses_that_the_mail_server_refuses_are_told_with_those_that_got_it(
    only: Callable[..., Workspace], mail: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ws = only(email_to=["ada@example.org", "bob@example.org"], email_from="me@example.org")
    mail.unknown = ["bob@example.org"]
    told = tell(ws, DAYS[0], [row("AAA")])
    assert (told.told, told.refused) == (("email",), ("bob@example.org",))
    assert "the mail server refuses bob@example.org" in caplog.text


@pytest.mark.parametrize(
    ("channel", "missing"),
    [
        ({"webhook": True}, "PAXCAST_WEBHOOK_URL: is not in the environment, and notify.webhook needs it"),
        (
            {"email_to": ["ada@example.org"], "email_from": "me@example.org"},
            "PAXCAST_SMTP_URL: is not in the environment, and notify.email_to needs it",
        ),
    ],
)
def test_an_address_that_is_not_in_the_environment_is_asked_for_after_the_others_were_told(
    only: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, channel: Row, missing: str
) -> None:
    for name in ("PAXCAST_WEBHOOK_URL", "PAXCAST_SMTP_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match=missing) as error:
        tell(only(log=True, **channel), DAYS[0], [row("AAA")])
    assert "Told: log." in str(error.value)


def test_another_try_is_worth_it_if_one_of_the_channels_may_work_then(
    only: Callable[..., Workspace], hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAXCAST_SMTP_URL", raising=False)
    hook.status = 503
    ws = only(webhook=True, email_to=["ada@example.org"], email_from="me@example.org")
    with pytest.raises(InfrastructureError, match=r"email: PAXCAST_SMTP_URL: is not .*; webhook: .* it answers 503"):
        tell(ws, DAYS[0], [row("AAA")])


# --- what could not be sent


def failing(ws: Workspace, hook: Hook, day: str, rows: list[Row]) -> None:
    hook.status = 500
    with pytest.raises(InfrastructureError):
        tell(ws, day, rows)
    hook.status = 200


def test_what_could_not_be_sent_goes_with_the_next_check_once(by_hook: Workspace, hook: Hook) -> None:
    tell(by_hook, DAYS[0], [row("AAA")])
    failing(by_hook, hook, DAYS[1], [row("AAA"), row("BBB")])
    failing(by_hook, hook, DAYS[2], [row("AAA", "watch", "none", drifted=False)])
    tell(by_hook, DAYS[3], [row("CCC")])
    tell(by_hook, DAYS[4], [row("DDD")])
    assert [text.split("\n\n")[-1] for text in hook.received[1:]] == [
        "2 checks before this one could not be sent here:\n"
        "small, drift as of 2020-03-02: 2 of 2 airports drifted\n"
        "small, drift as of 2020-03-03: 1 to watch\n",
        f"Page: {PAGE}\n",
    ]


def test_what_could_not_be_sent_is_told_even_if_all_is_again_as_it_was(by_hook: Workspace, hook: Hook) -> None:
    failing(by_hook, hook, DAYS[0], [row("AAA")])
    assert tell(by_hook, DAYS[1], well("AAA")).told == ("webhook",)
    assert tell(by_hook, DAYS[2], well("AAA")).unchanged == ("webhook",)
    [text] = hook.received
    assert text.startswith("small, drift as of 2020-03-02: nothing is left to do\n")
    assert text.endswith(
        "\n1 check before this one could not be sent here:\nsmall, drift as of 2020-03-01: 1 of 1 airports drifted\n"
    )


def test_a_check_that_was_told_at_last_is_not_missed_and_neither_is_one_that_a_later_told_of(
    by_hook: Workspace, hook: Hook
) -> None:
    failing(by_hook, hook, DAYS[0], [row("AAA")])
    tell(by_hook, DAYS[0], [row("AAA")])
    failing(by_hook, hook, DAYS[1], [row("BBB")])
    tell(by_hook, DAYS[2], [row("CCC")])
    assert tell(by_hook, DAYS[1], [row("BBB")]).unchanged == ("webhook",)
    tell(by_hook, DAYS[3], [row("DDD")])
    assert ["could not be sent" in text for text in hook.received] == [False, True, False]


def test_of_many_checks_that_could_not_be_sent_the_newest_are_listed(by_hook: Workspace, hook: Hook) -> None:
    for day in DAYS[:7]:
        failing(by_hook, hook, day, [row("AAA")])
    tell(by_hook, DAYS[7], [row("AAA")])
    [text] = hook.received
    assert "7 checks before this one could not be sent here, the newest:\n" in text
    assert re.findall(r"as of (\S+):", text) == [DAYS[7], *DAYS[2:7]]


def test_a_process_that_dies_before_it_is_on_record_sends_the_same_message_again(
    only: Callable[..., Workspace], mail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = only(email_to=["ada@example.org"], email_from="me@example.org")
    key = check(ws, DAYS[0], [row("AAA")])
    with monkeypatch.context() as dying:
        dying.setattr(job, "_put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            notify(ws, key, PAGE)
    notify(ws, key, PAGE)
    assert len({message["Message-ID"] for message in mail.received}) == 1
    tell(ws, DAYS[0], [row("BBB")])
    tell(ws, DAYS[1], [row("AAA")])
    assert len({message["Message-ID"] for message in mail.received}) == 3
    assert len(mail.received) == 4


# --- what is said


def test_a_message_has_the_world_the_counts_the_airports_and_the_page(by_hook: Workspace, hook: Hook) -> None:
    rows = [
        row("LFPO", "severe", "fallback", q=0.00123, reasons='["loss", "bias low", "level: a third of what it was"]'),
        row("LFPG", "fault", "alert", p=None, q=None, fault="silent", reasons="[]", tested=False),
        row("LFMN", "watch", "none", q=0.2, reasons='["coverage"]', drifted=False),
        row("LFML", "moderate", "wait", q=0.05),
        *well("LFBO"),
    ]
    tell(by_hook, DAYS[0], rows, CHANGED)
    [text] = hook.received
    assert text == (
        "small, drift as of 2020-03-01: the world changed, 2 of 5 airports drifted, faults in the data of 1, 1 to watch"
        "\n\n"
        "The world changed, since 2020-02-17: in 2020-02-24 the fleet's median residual is -2.2 spreads, and 81% of "
        "airports do worse than usual (p 0.0004).\n"
        "5 airports, 5 tested: 2 drifted, 1 to watch, 1 with a fault in their data.\n"
        "To retrain 0, to fall back to a simple method 1, for a person 0, waiting for the budget 1.\n\n"
        "Worst:\n"
        "LFPO: severe, q 0.0012, loss; bias low; level: a third of what it was; action: fallback\n"
        "LFML: moderate, q 0.05, loss; action: wait\n"
        "LFMN: watch, q 0.2, coverage; action: none\n\n"
        "Faults in the data:\n"
        "LFPG: fault, q -, silent; action: alert\n\n"
        f"Page: {PAGE}\n"
    )


def test_a_world_of_which_little_is_known_is_told_without_numbers(by_hook: Workspace, hook: Hook) -> None:
    tell(by_hook, DAYS[0], well("AAA"), {**CHANGED, "p": None, "share": None, "shift": None})
    assert "median residual is - spreads, and - of airports do worse than usual (p -)" in hook.received[0]


@pytest.mark.parametrize(
    ("p", "told"),
    [
        (0.5, "The world as a whole has not changed."),
        (None, "There are too few airports or cycles to tell what they have in common."),
    ],
)
def test_that_the_world_has_not_changed_is_only_said_where_it_was_tested(
    by_hook: Workspace, hook: Hook, p: float | None, told: str
) -> None:
    tell(by_hook, DAYS[0], [row("AAA")], {**WELL, "p": p})
    assert hook.received[0].splitlines()[2] == told


def test_the_worst_ten_are_shown_by_severity_then_p_then_code(by_hook: Workspace, hook: Hook) -> None:
    order = [("SB", "severe", 0.01), ("SA", "severe", None)]
    order += [("MC", "moderate", 0.001), ("MA", "moderate", 0.02), ("MB", "moderate", 0.02)]
    order += [("WA", "watch", 0.0001), ("NA", "none", 0.0001)]
    rows = [row(code, severity, p=p) for code, severity, p in order]
    mixed = [*rows[::-2], *rows[1::2]]
    tell(by_hook, DAYS[0], [*mixed, *(row(f"Z{at}", "watch", p=0.9) for at in range(4))])
    shown = re.findall(r"^(\w+): \w+, q", hook.received[0], re.MULTILINE)
    assert shown == [*(code for code, _, _ in order[:6]), "Z0", "Z1", "Z2", "Z3"]
    assert "\nand 1 more\n" in hook.received[0]


def test_faults_are_shown_beside_what_drifted_however_many_there_are(by_hook: Workspace, hook: Hook) -> None:
    tell(by_hook, DAYS[0], [row("MA"), *(row(f"F{at:02d}", "fault", "alert", fault="unit") for at in range(30))])
    worst, faults = hook.received[0].split("Worst:\n")[1].split("\n\nFaults in the data:\n")
    assert worst == "MA: moderate, q 0.02, loss; action: retrain"
    assert faults.splitlines()[9:11] == ["F09: fault, q 0.02, unit; loss; action: alert", "and 20 more"]


def test_where_a_person_has_to_look_it_is_said_why(by_hook: Workspace, hook: Hook) -> None:
    done = ("escalate", "fallback", "wait")
    tell(by_hook, DAYS[0], [row(f"A{at}", action=action, why="ask") for at, action in enumerate(done)])
    assert re.findall("action: (.*)", hook.received[0]) == ["escalate (ask)", "fallback (ask)", "wait"]


def test_long_reasons_are_cut(by_hook: Workspace, hook: Hook) -> None:
    tell(by_hook, DAYS[0], [row("AAA", reasons=json.dumps(["x" * 150, "y" * 150]))])
    [line] = [line for line in hook.received[0].splitlines() if line.startswith("AAA")]
    assert f", {'x' * 150}; {'y' * 45}...; action: retrain" in line


def test_the_page_that_the_check_knows_of_is_told_where_none_is_stated(by_hook: Workspace, hook: Hook) -> None:
    key = check(by_hook, DAYS[0], [row("AAA")])
    name = f"drift/{by_hook.fleet}/{key}.json"
    by_hook.objects.put(name, {**by_hook.objects.get(name), "page": "s3://elsewhere/index.html"})
    notify(by_hook, key, "")
    assert "\nPage: s3://elsewhere/index.html\n" in hook.received[0]


def test_the_checks_own_run_in_mlflow_is_told(by_hook: Workspace, hook: Hook) -> None:
    keys = [check(by_hook, day, [row(code)]) for day, code in zip(DAYS[:3], ("AAA", "BBB", "CCC"), strict=True)]
    runs = []
    for key in keys[:2]:
        by_hook.objects.put_text(f"drift/{by_hook.fleet}/{key}/index.html", "page")
        runs.append(drift_report.track(by_hook, key))
    for key in keys:
        notify(by_hook, key, PAGE)
    told = [re.findall("MLflow: (.*)", text) for text in hook.received]
    assert told == [[f"run {runs[0]}"], [f"run {runs[1]}"], []]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://mlflow:5000/", "http://mlflow:5000/#/experiments/7/runs/abc"),
        ("https://robot:s3cret@mlflow/path", "https://mlflow/path/#/experiments/7/runs/abc"),
        ("postgresql://robot:s3cret@db/mlflow", "run abc"),
        ("sqlite:////tmp/mlflow.db", "run abc"),
    ],
)
def test_only_a_server_has_an_address_for_a_run_and_no_password_is_in_it(uri: str, told: str) -> None:
    assert job.place_of(uri, "7", "abc") == told


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "http://[bad", "postgresql://robot:s3cret@db/mlflow"])
def test_a_message_does_not_wait_for_mlflow(
    by_hook: Workspace, hook: Hook, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    fresh = replace(by_hook, settings=by_hook.settings.model_copy())
    vars(fresh.settings).pop("tracking_uri", None)
    assert tell(fresh, DAYS[0], [row("AAA")]).told == ("webhook",)
    assert "MLflow" not in hook.received[0]


def test_a_check_that_there_is_not_is_refused_with_what_to_do(by_hook: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="there is no drift check nothing to tell of; run `paxcast drift`"):
        notify(by_hook, "nothing", PAGE)


def test_no_secret_is_in_the_store_the_settings_or_the_log(
    only: Callable[..., Workspace], hook: Hook, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ws = only(log=True, webhook=True)
    with caplog.at_level(logging.DEBUG):
        tell(ws, DAYS[0], [row("AAA")])
        failing(ws, hook, DAYS[1], [row("BBB")])
    assert len(hook.received) == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("untold" in str(path) for path in files)
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in f"{ws.settings!r}{vars(ws.settings)}{caplog.text}"
