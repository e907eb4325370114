"""Notify: tell people what a drift check found, once a channel, and only what is news to that channel.

told/FLEET/CHANNEL/INSTANT-NUMBER.json   what a channel was told, put there once it was, or what was no news to it:
                                         compared with by the next check
untold/FLEET/CHANNEL/INSTANT.json        that a check could not be told; goes with the next one that can

News is another verdict on the world, or another severity, fault or action of an airport, than the channel was told
last; numbers alone are none. A process that dies between the sending and its record has the message sent again: an
e-mail then with the same Message-ID.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from paxcast.adapters import notification
from paxcast.adapters.notification import SMTP_URL, WEBHOOK_URL, Mail
from paxcast.core.errors import ConfigurationError, InfrastructureError, PaxcastError
from paxcast.core.written import without_user
from paxcast.jobs import notice
from paxcast.jobs.notice import Check
from paxcast.jobs.workspace import Workspace
from paxcast.settings import secret

log = logging.getLogger("paxcast.notify")


@dataclass(frozen=True, slots=True)
class Told:
    """Which channels were told of a check by this call, and to which there was nothing to tell; `refused`: addresses
    that the mail server did not take while it took others."""

    check_key: str
    told: tuple[str, ...]
    unchanged: tuple[str, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _News:
    """That a channel is to be told: the how-manieth time of the check's date, from 0, and the headlines of the checks
    that it could not be told."""

    number: int
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Message:
    """`key`: the same for the same message."""

    subject: str
    text: str
    key: str


def notify(ws: Workspace, check_key: str, page: str) -> Told:
    """Tell every configured channel of a drift check, where there is news for it. page: where the check's report is.

    Asked again, only those that were not told are. A check that is older than the one a channel was told of last is
    no news, nor is one that looked back at a day which a later release has passed. Raises, once all channels were
    tried, InfrastructureError if one could not be told, ConfigurationError if that is for its settings alone; also
    where there is no such check.
    """
    check = notice.load(ws, check_key, page)
    found = {channel: _news(ws, channel, check) for channel in _channels(ws)}
    due = {channel: news for channel, news in found.items() if news is not None}
    run = _mlflow_run(ws, check_key) if due else ""
    refused: tuple[str, ...] = ()
    failed: dict[str, PaxcastError] = {}
    for channel, news in due.items():
        text = notice.text(check, news.missed, run)
        try:
            refused += SEND[channel](ws, _Message(check.headline, text, f"{check_key}-{check.news}-{news.number}"))
        except (InfrastructureError, ConfigurationError) as err:
            failed[channel] = err
            _put(ws, f"{_folder('untold', ws, channel)}/{check.instant}.json", check)
        else:
            _put(ws, f"{_folder('told', ws, channel)}/{check.instant}-{news.number:04d}.json", check)
    told = tuple(channel for channel in due if channel not in failed)
    if failed:
        raise _summed_up(check_key, told, failed)
    unchanged = tuple(channel for channel in found if channel not in due)
    for channel in unchanged:
        _no_news(ws, channel, check)
    log.info("%s: told: %s; no news for: %s", check_key, _listed(told), _listed(unchanged))
    return Told(check_key, told, unchanged, refused)


def _news(ws: Workspace, channel: str, check: Check) -> _News | None:
    """What a channel is to be told, None if nothing. One that was never told anything believes that all is well."""
    told = list(ws.objects.names(_folder("told", ws, channel)))
    last, since = (ws.objects.get(told[-1]) or {}, _instant(told[-1])) if told else ({}, "")
    if since > check.instant or check.looked_back:
        return None
    untold = ws.objects.names(_folder("untold", ws, channel))
    missed = [ws.objects.get(name) or {} for name in untold if since < _instant(name) < check.instant]
    if check.news == last.get("news", notice.news(False, [])) and not missed:
        return None
    return _News(sum(_instant(name) == check.instant for name in told), tuple(one["headline"] for one in missed))


def _no_news(ws: Workspace, channel: str, check: Check) -> None:
    """Put on record that a channel knows all that the check says: an older one is no news to it from now on."""
    told = list(ws.objects.names(_folder("told", ws, channel)))
    if not told or _instant(told[-1]) < check.instant:
        _put(ws, f"{_folder('told', ws, channel)}/{check.instant}-0000.json", check)


def _put(ws: Workspace, name: str, check: Check) -> None:
    known = {"check_key": check.check_key, "as_of": check.as_of, "news": check.news, "headline": check.headline}
    ws.objects.put_if_absent(name, known)


def _folder(kind: str, ws: Workspace, channel: str) -> str:
    return f"{kind}/{ws.fleet}/{channel}"


def _instant(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".json").split("-")[0]


def _summed_up(check_key: str, told: Sequence[str], failed: dict[str, PaxcastError]) -> PaxcastError:
    """What went wrong, as one error; another try is worth it unless all of it is for the settings."""
    reasons = "; ".join(f"{channel}: {err}" for channel, err in failed.items())
    message = f"{check_key}: {reasons}. Told: {_listed(told)}. What was not sent goes with the next check"
    settings_alone = all(isinstance(err, ConfigurationError) for err in failed.values())
    return ConfigurationError(message) if settings_alone else InfrastructureError(message)


def _listed(channels: Sequence[str]) -> str:
    return ", ".join(channels) or "none"


def _mlflow_run(ws: Workspace, check_key: str) -> str:
    """Where the check's run in MLflow is, as the store says; nothing if there is none. MLflow itself is not asked: no
    message waits for a link."""
    kept = ws.objects.get(notice.run_of(ws, check_key))
    return place_of(ws.settings.tracking_uri, kept["experiment_id"], kept["run_id"]) if kept else ""


def place_of(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """Where to look a run up: on a server its page, without the user and password that may be in the address."""
    if urlsplit(tracking_uri).scheme not in ("http", "https"):
        return f"run {run_id}"
    return f"{without_user(tracking_uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def _channels(ws: Workspace) -> list[str]:
    wanted = ws.settings.notify
    on = {"log": wanted.log, "email": bool(wanted.email_to), "webhook": wanted.webhook}
    return [channel for channel in SEND if on[channel]]


def _to_log(_ws: Workspace, message: _Message) -> tuple[str, ...]:
    log.warning("%s", message.text)
    return ()


def _to_mailboxes(ws: Workspace, message: _Message) -> tuple[str, ...]:
    wanted = ws.settings.notify
    assert wanted.email_from is not None  # the settings see to that
    mail = Mail(wanted.email_from, wanted.email_to, message.subject, message.text, message.key)
    refused = notification.send_mail(_there(SMTP_URL, secret(SMTP_URL), "notify.email_to"), mail)
    for address in refused:
        log.warning("notify.email_to: the mail server refuses %s; the others were sent the e-mail", address)
    return refused


def _to_webhook(ws: Workspace, message: _Message) -> tuple[str, ...]:
    url = _there(WEBHOOK_URL, secret(WEBHOOK_URL), "notify.webhook")
    notification.post(url, message.text, ws.settings.notify.webhook_plain_http)
    return ()


def _there(name: str, found: SecretStr | None, setting: str) -> SecretStr:
    if found is None:
        raise ConfigurationError(f"{name}: is not in the environment, and {setting} needs it; set it, or take that out")
    return found


SEND: dict[str, Callable[[Workspace, _Message], tuple[str, ...]]] = {
    "log": _to_log,
    "email": _to_mailboxes,
    "webhook": _to_webhook,
}
