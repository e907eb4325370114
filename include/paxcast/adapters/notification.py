"""E-mail by SMTP, and a webhook of Slack's kind. Their addresses are secrets: no error and no log has a part of one.

Errors are raised `from None`: those of the standard library may hold the address, and a traceback shows them all.
Certificates are checked against the machine's authorities; SSL_CERT_FILE, which OpenSSL reads, names others.
"""

import http.client
import ipaddress
import json
import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from threading import Thread
from typing import Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from pydantic import SecretStr

from paxcast.core.errors import ConfigurationError, InfrastructureError

SMTP_URL: Final = "PAXCAST_SMTP_URL"
WEBHOOK_URL: Final = "PAXCAST_WEBHOOK_URL"
WHOLE = 90.0  # seconds that all of a message may take
ANSWERS = 20.0  # seconds in which a server connects, and answers each time
PORTS = {"smtp": 587, "smtps": 465}  # of submission (RFC 6409), and with TLS from the first byte (RFC 8314)
WRITE_SMTP = (
    "write smtp://USER:PASSWORD@HOST:PORT or smtps://..., special characters of user and password as %XX; smtp:// "
    "takes ?starttls=no for a way that is safe without"
)
WRITE_WEBHOOK = "write it as the service that made it shows it, beginning with https://"
PLAIN = re.compile(r"[!-~]+")  # what an address may consist of (RFC 3986)
SLACKS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # else <!channel> in a text calls everybody


T = TypeVar("T")
Refused = dict[str, tuple[int, bytes]]  # by address, with the server's answer
# What the standard library raises: the last is a UnicodeError, of a host or a password.
FAILS = (OSError, smtplib.SMTPException, http.client.HTTPException, ValueError)


class _Slow(OSError):
    """A message took longer than WHOLE."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail. `key`: the same key is the same message, so that a reader's program can tell a repeated one."""

    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    tls: bool  # from the first byte
    starttls: bool
    user: str | None = field(repr=False)
    password: str = field(repr=False)


def send_mail(url: SecretStr, mail: Mail) -> tuple[str, ...]:
    """Send an e-mail; the addresses that the server refused while it took others.

    Raises ConfigurationError for a url that is none of SMTP, InfrastructureError if the server cannot be reached or
    trusted, does not take the login, or refuses every address.
    """
    server = _server(url)
    try:
        refused = _in_time(lambda: _sent(server, mail))
    except FAILS as err:
        raise InfrastructureError(f"{SMTP_URL}: the e-mail was not sent: {_smtp_reason(err)}") from None
    return tuple(sorted(refused))


def post(url: SecretStr, text: str, plain_http: bool = False) -> None:
    """Post {"text": ...} as JSON. plain_http: allow an address without TLS on another machine.

    Raises ConfigurationError for a url that may not be used, InfrastructureError for any answer but 2xx, a redirect
    among them, and for none within ANSWERS.
    """
    parts = _webhook(url, plain_http)
    escaped = "".join(SLACKS.get(letter, letter) for letter in text)
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "paxcast"}
    body = json.dumps({"text": escaped}).encode()
    request = Request(parts.geturl(), data=body, headers=headers, method="POST")
    try:
        _in_time(lambda: _opener(parts).open(request, timeout=ANSWERS).close())
    except HTTPError as err:
        err.close()
        raise InfrastructureError(f"{WEBHOOK_URL}: not posted: {_http_reason(err.code)}") from None
    except FAILS as err:
        raise InfrastructureError(f"{WEBHOOK_URL}: not posted: {_reason(err)}") from None


def _sent(server: _Server, mail: Mail) -> Refused:
    with _connected(server) as session:
        return session.send_message(_composed(mail), mail.sender, list(mail.to))


def _in_time(send: Callable[[], T]) -> T:
    """What `send` returns or raises. Raises _Slow if it takes longer than WHOLE, as with a server that answers a letter
    at a time, each within ANSWERS: it would keep the other channels, and the next check, waiting for ever. What was
    begun then ends by itself, or with the process."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(send())
        except FAILS as err:
            done.set_exception(err)

    Thread(target=run, daemon=True).start()
    if not wait([done], timeout=WHOLE).done:
        raise _Slow
    return done.result()


def _server(url: SecretStr) -> _Server:
    parts, port = _parts(SMTP_URL, url, WRITE_SMTP)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    starttls = asked.pop("starttls", "yes")
    sound = parts.scheme in PORTS and parts.path in ("", "/") and not asked and starttls in ("yes", "no")
    if not sound or (parts.scheme == "smtps" and "starttls" in parts.query):
        raise ConfigurationError(f"{SMTP_URL}: not the address of a mail server; {WRITE_SMTP}")
    tls = parts.scheme == "smtps"
    user = None if parts.username is None else unquote(parts.username)
    return _Server(
        host=parts.hostname or "",
        port=port or PORTS[parts.scheme],
        tls=tls,
        starttls=not tls and starttls == "yes",
        user=user,
        password=unquote(parts.password or ""),
    )


def _webhook(url: SecretStr, plain_http: bool) -> SplitResult:
    parts, _ = _parts(WEBHOOK_URL, url, WRITE_WEBHOOK)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ConfigurationError(f"{WEBHOOK_URL}: not the address of a webhook; {WRITE_WEBHOOK}")
    if parts.scheme == "http" and not plain_http and not _here(parts):
        raise ConfigurationError(
            f"{WEBHOOK_URL}: http:// would send its token in the clear; state https://, or "
            "notify.webhook_plain_http: true if the way there is safe"
        )
    return parts


def _parts(name: str, url: SecretStr, advice: str) -> tuple[SplitResult, int | None]:
    """An address in its parts, with its port."""
    try:
        parts = urlsplit(url.get_secret_value())
        port = parts.port
    except ValueError:
        port, parts = None, SplitResult("", "", "", "", "")
    if not PLAIN.fullmatch(url.get_secret_value()) or not parts.hostname or parts.fragment:
        raise ConfigurationError(f"{name}: not an address; {advice}")
    return parts, port


def _here(parts: SplitResult) -> bool:
    """Whether an address is on this machine, without asking anybody for it."""
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _connected(server: _Server) -> Iterator[smtplib.SMTP]:
    """A session, with TLS and logged in as the address says."""
    if server.tls:
        trust = ssl.create_default_context()
        session: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=ANSWERS, context=trust)
    else:
        session = smtplib.SMTP(server.host, server.port, timeout=ANSWERS)
    try:
        if server.starttls:
            session.starttls(context=ssl.create_default_context())
        if server.user is not None:
            session.login(server.user, server.password)
        yield session
        with suppress(smtplib.SMTPException, OSError):  # whatever it says to that: it has taken the e-mail
            session.quit()
    finally:
        session.close()


def _composed(mail: Mail) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail.sender, ", ".join(mail.to), mail.subject
    message["Message-ID"] = f"<{mail.key}@paxcast.invalid>"
    message["Date"] = formatdate()  # RFC 5322 wants when it is sent: the one thing here that depends on it
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no notes of absence in return
    message.set_content(mail.text, cte="quoted-printable")  # no server has to take more than ASCII
    return message


class _NoRedirects(HTTPRedirectHandler):
    """Followed, a redirect turns the post into the reading of a page: it would succeed, and nobody would be told."""

    def redirect_request(self, *_: object) -> None:
        return None


def _opener(parts: SplitResult) -> OpenerDirector:
    checked = [HTTPSHandler(context=ssl.create_default_context())] if parts.scheme == "https" else []
    direct = [ProxyHandler({})] if _here(parts) else []
    return build_opener(_NoRedirects(), *checked, *direct)


def _smtp_reason(err: Exception) -> str:
    """What went wrong, without a word of the server's: it may repeat what it was told."""
    match err:
        case smtplib.SMTPAuthenticationError():
            return f"the server does not take this user and password ({err.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            codes = sorted({code for code, _ in err.recipients.values()})
            return f"the server refuses every address of notify.email_to ({', '.join(map(str, codes))})"
        case smtplib.SMTPSenderRefused():
            return f"the server refuses notify.email_from ({err.smtp_code})"
        case smtplib.SMTPNotSupportedError():
            return "the server offers no STARTTLS, or no login; with smtps:// or ?starttls=no it may"
        case smtplib.SMTPResponseException():
            return f"the server answers {err.smtp_code}"
        case smtplib.SMTPServerDisconnected() if isinstance(err.__context__, OSError):
            return _reason(err.__context__)
        case smtplib.SMTPException():
            return f"the server breaks off ({type(err).__name__})"
    return _reason(err)


def _http_reason(code: int) -> str:
    if 300 <= code < 400:
        return f"it answers with a redirect ({code}), which is not followed; state the address that it leads to"
    if code in (401, 403, 404, 410):
        return f"it answers {code}; make a new webhook if this one was removed"
    return f"it answers {code}"


def _reason(err: BaseException) -> str:
    cause = err.reason if isinstance(err, URLError) else err
    if isinstance(cause, _Slow):
        return f"it was not done within {WHOLE:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}); name its authority in SSL_CERT_FILE"
    if isinstance(cause, TimeoutError):
        return f"no answer within {ANSWERS:g} s"
    if isinstance(cause, ssl.SSLError):
        return "it does not speak TLS there; check the port"
    if isinstance(cause, OSError) and cause.strerror:
        return f"no connection: {cause.strerror}"
    return f"no sensible answer ({type(cause).__name__})"
