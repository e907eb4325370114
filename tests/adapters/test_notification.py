"""E-mail and webhook against real servers on this machine, with TLS; and that no error has a part of a secret."""

import base64
import datetime
import email
import email.policy
import json
import re
import socket
import socketserver
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from paxcast.adapters import notification
from paxcast.adapters.notification import Mail, post, send_mail
from paxcast.core.errors import ConfigurationError, InfrastructureError

USER, PASSWORD, TOKEN = "robot@north", "p@ss/w:rd", "T0K3N"
LOGIN = "robot%40north:p%40ss%2Fw%3Ard"
HANGS_UP = ""  # as a server's answer
TO = ("ada@example.org", "bob@example.org")
MAIL = Mail("paxcast@example.org", TO, "north: 3 of 120 airports drifted", "Orly: loss, bias low\n.\nZürich\n", "k-1")


# --- servers


class MailSession(socketserver.StreamRequestHandler):
    """One session: understands what smtplib says, and writes down what it heard."""

    server: "MailServer"
    verbs = ("EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "QUIT")

    def setup(self) -> None:
        if self.server.tls_first:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        self.to: list[str] = []
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            self.server.heard.append(verb.upper())
            if self.server.answers.get(verb.upper()) == HANGS_UP:
                return
            answer = getattr(self, f"on_{verb.lower()}", None) if verb.upper() in self.verbs else None
            self.say("502 what" if answer is None else answer(rest))

    def say(self, answer: str) -> None:
        if answer:
            self.wfile.write(f"{answer}\r\n".encode())

    def on_ehlo(self, _rest: str) -> str:
        secure = isinstance(self.connection, ssl.SSLSocket)
        offers = ["here", "AUTH PLAIN"] + (["STARTTLS"] if self.server.offers_tls and not secure else [])
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    def on_starttls(self, _rest: str) -> str:
        self.say("220 go on")
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)  # type: ignore[assignment]
        return ""

    def on_auth(self, rest: str) -> str:
        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        self.server.logins.append((user, password))
        return "235 welcome" if password == PASSWORD else f"535 {user} is not known by {password}"

    def on_mail(self, _rest: str) -> str:
        return self.server.answers.get("MAIL", "250 yes")

    def on_rcpt(self, rest: str) -> str:
        address = rest[rest.index("<") + 1 : rest.index(">")]
        if address in self.server.unknown:
            return f"550 no {address} here"
        self.to.append(address)
        return "250 yes"

    def on_data(self, _rest: str) -> str:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        secure = isinstance(self.connection, ssl.SSLSocket)
        message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.server.received.append((self.to, message, secure))
        return "250 taken"

    def on_rset(self, _rest: str) -> str:
        return "250 yes"

    def on_quit(self, _rest: str) -> str:
        return self.server.answers.get("QUIT", "221 bye")


class MailServer(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it gets: received (to, message, whether by TLS), logins, heard verbs."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, context: ssl.SSLContext, tls_first: bool = False, offers_tls: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), MailSession)
        self.context, self.tls_first, self.offers_tls = context, tls_first, offers_tls
        self.received: list[tuple[list[str], Any, bool]] = []
        self.logins: list[tuple[str, str]] = []
        self.heard: list[str] = []
        self.unknown: set[str] = set()
        self.answers: dict[str, str] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """A client that breaks off, as one should that does not trust the certificate, is no news."""


class HookRequest(BaseHTTPRequestHandler):
    """Keeps what is posted; answers as the server says."""

    server: "HookServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), json.loads(body)))
        self.answer()

    def do_GET(self) -> None:
        self.server.received.append((self.path, dict(self.headers), None))
        self.answer()

    def answer(self) -> None:
        moved = self.path != "/moved" and 300 <= self.server.status < 400
        self.send_response(self.server.status if moved or self.server.status >= 400 else 200)
        if moved:
            self.send_header("Location", f"http://127.0.0.1:{self.server.port}/moved")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing of it on stderr."""


class HookServer(ThreadingHTTPServer):
    """An HTTP server that keeps what it gets: received (path, headers, JSON)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookRequest)
        self.received: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """As of the mail server."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that signs itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begins = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is known on this machine."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def mail(context: ssl.SSLContext) -> Iterator[MailServer]:
    """A mail server that offers STARTTLS."""
    yield from serving(MailServer(context))


@pytest.fixture
def secure_mail(context: ssl.SSLContext) -> Iterator[MailServer]:
    """A mail server that speaks TLS from the first byte."""
    yield from serving(MailServer(context, tls_first=True))


@pytest.fixture
def bare_mail(context: ssl.SSLContext) -> Iterator[MailServer]:
    """A mail server that knows nothing of TLS."""
    yield from serving(MailServer(context, offers_tls=False))


@pytest.fixture
def hook() -> Iterator[HookServer]:
    yield from serving(HookServer())


@pytest.fixture
def secure_hook(context: ssl.SSLContext) -> Iterator[HookServer]:
    server = HookServer()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield from serving(server)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that takes connections and never says a word; nobody waits long for it."""
    monkeypatch.setattr(notification, "ANSWERS", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield int(listening.getsockname()[1])


@pytest.fixture
def trickling(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that says a letter every now and then, and never comes to an end."""
    monkeypatch.setattr(notification, "WHOLE", 0.5)
    ended = threading.Event()

    def trickle(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            while not ended.wait(0.05):
                connection.sendall(b"2")

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=trickle, args=(listening,), daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        ended.set()
        thread.join()


def smtp(
    port: int, query: str = "", scheme: str = "smtp", login: str = f"{LOGIN}@", host: str = "localhost"
) -> SecretStr:
    return SecretStr(f"{scheme}://{login}{host}:{port}{query}")


def webhook(port: int, scheme: str = "http", host: str = "127.0.0.1") -> SecretStr:
    return SecretStr(f"{scheme}://{host}:{port}/services/{TOKEN}?key={TOKEN}")


def refusal(kind: type[Exception], call: Callable[[], object], *, secrets: tuple[str, ...] = ()) -> str:
    """What an error says; as it would stand in a log, with its traceback, it has no part of a secret."""
    with pytest.raises(kind) as error:
        call()
    logged = "".join(part for part in traceback.format_exception(error.value) if __file__ not in part)
    for one in (USER, PASSWORD, LOGIN, "robot", "ss/w", "p@ss", TOKEN, *secrets):
        assert one not in logged
    return str(error.value)


# --- e-mail


def read(message: EmailMessage) -> dict[str, str]:
    return {name: str(message[name]) for name in ("From", "To", "Subject", "Message-ID")}


@pytest.mark.usefixtures("trusted")
def test_an_e_mail_is_sent_whole_after_starttls_and_login(mail: MailServer) -> None:
    assert send_mail(smtp(mail.port), MAIL) == ()
    [(to, message, secure)] = mail.received
    assert secure
    assert to == list(TO)
    assert read(message) == {
        "From": "paxcast@example.org",
        "To": "ada@example.org, bob@example.org",
        "Subject": MAIL.subject,
        "Message-ID": "<k-1@paxcast.invalid>",
    }
    assert message["Date"] is not None
    assert message.get_content().replace("\r\n", "\n") == MAIL.text
    assert mail.logins == [(USER, PASSWORD)]
    assert mail.heard[:3] == ["EHLO", "STARTTLS", "EHLO"]


@pytest.mark.usefixtures("trusted")
def test_with_smtps_there_is_tls_from_the_first_byte(secure_mail: MailServer) -> None:
    send_mail(smtp(secure_mail.port, scheme="smtps"), MAIL)
    assert [secure for _, _, secure in secure_mail.received] == [True]
    assert secure_mail.logins == [(USER, PASSWORD)]


def test_without_a_user_nobody_logs_in_and_starttls_is_left_out_only_where_that_is_said(mail: MailServer) -> None:
    send_mail(smtp(mail.port, "/?starttls=no", login=""), MAIL)
    assert [secure for _, _, secure in mail.received] == [False]
    assert {"STARTTLS", "AUTH"} & set(mail.heard) == set()


@pytest.mark.parametrize("query", ["", "/?starttls=yes"])
def test_a_server_that_offers_no_starttls_is_told_nothing(bare_mail: MailServer, query: str) -> None:
    told = refusal(InfrastructureError, lambda: send_mail(smtp(bare_mail.port, query), MAIL))
    assert told == (
        "PAXCAST_SMTP_URL: the e-mail was not sent: the server offers no STARTTLS, or no login; with smtps:// or "
        "?starttls=no it may"
    )
    assert set(bare_mail.heard) == {"EHLO"}
    assert bare_mail.received == []


def test_a_mail_server_whose_certificate_nobody_vouches_for_is_told_nothing(
    mail: MailServer, secure_mail: MailServer
) -> None:
    for url in (smtp(mail.port), smtp(secure_mail.port, scheme="smtps")):
        told = refusal(InfrastructureError, lambda url=url: send_mail(url, MAIL))  # type: ignore[misc]
        assert told.startswith("PAXCAST_SMTP_URL: the e-mail was not sent: its certificate is not trusted (self-signed")
    assert (mail.logins, mail.received, secure_mail.heard) == ([], [], [])


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_not_trusted(mail: MailServer, secure_mail: MailServer) -> None:
    urls = (smtp(mail.port, host="127.0.0.1"), smtp(secure_mail.port, scheme="smtps", host="127.0.0.1"))
    for url in urls:
        assert "is not trusted" in refusal(InfrastructureError, lambda url=url: send_mail(url, MAIL))  # type: ignore[misc]
    assert (mail.logins, mail.received, secure_mail.heard) == ([], [], [])


@pytest.mark.usefixtures("trusted")
def test_a_password_that_is_not_taken_is_told_by_its_setting_even_if_the_server_repeats_it(mail: MailServer) -> None:
    url = smtp(mail.port, login="robot%40north:wr0ng%20one@")
    told = refusal(InfrastructureError, lambda: send_mail(url, MAIL), secrets=("wr0ng",))
    assert told.endswith("the server does not take this user and password (535)")
    assert mail.logins[0] == (USER, "wr0ng one")
    assert mail.received == []


def test_addresses_that_are_refused_are_named_while_the_others_get_the_e_mail(mail: MailServer) -> None:
    mail.unknown = {TO[0]}
    assert send_mail(smtp(mail.port, "?starttls=no", login=""), MAIL) == (TO[0],)
    assert [to for to, _, _ in mail.received] == [[TO[1]]]


@pytest.mark.parametrize(
    ("unknown", "sender", "told"),
    [
        (set(TO), "250 yes", "the server refuses every address of notify.email_to (550)"),
        (set(), "553 not you", "the server refuses notify.email_from (553)"),
        (set(), "421 too busy", "the server refuses notify.email_from (421)"),
        (set(), HANGS_UP, "the server breaks off (SMTPServerDisconnected)"),
    ],
)
def test_an_e_mail_that_nobody_gets_is_an_error_that_names_the_setting(
    mail: MailServer, unknown: set[str], sender: str, told: str
) -> None:
    mail.unknown, mail.answers["MAIL"] = unknown, sender
    url = smtp(mail.port, "?starttls=no", login="")
    assert refusal(InfrastructureError, lambda: send_mail(url, MAIL)).endswith(told)
    assert mail.received == []


@pytest.mark.parametrize("goodbye", ["500 never", HANGS_UP])
def test_an_e_mail_that_was_taken_was_sent_however_the_server_says_goodbye(mail: MailServer, goodbye: str) -> None:
    mail.answers["QUIT"] = goodbye
    assert send_mail(smtp(mail.port, "?starttls=no", login=""), MAIL) == ()
    assert len(mail.received) == 1


@pytest.mark.parametrize(("scheme", "query"), [("smtp", ""), ("smtp", "?starttls=no"), ("smtps", "")])
def test_a_mail_server_that_says_nothing_is_not_waited_for(silent: int, scheme: str, query: str) -> None:
    began = time.monotonic()
    told = refusal(InfrastructureError, lambda: send_mail(smtp(silent, query, scheme), MAIL))
    assert told == "PAXCAST_SMTP_URL: the e-mail was not sent: no answer within 0.3 s"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("smtp://robot:p%40ss@localhost:1", "no connection: Connection refused"),
        ("smtp://robot:p%40ss@no..where:25", "no sensible answer (UnicodeError)"),
    ],
)
def test_a_mail_server_that_is_not_there_is_an_error_without_its_address(url: str, told: str) -> None:
    assert told in refusal(InfrastructureError, lambda: send_mail(SecretStr(url), MAIL))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "robot:p@ss/w:rd@mail.example.org",
            "smtp://robot:p@ss/w:rd@mail.example.org",
            "http://robot:p@mail.example.org",
        ),
        *("smtp://robot:p@ss:x", "smtp://robot:Zq7Zq7", "smtp://robot:Zq7?x@host", "smtp://"),
        *("smtp://robot:Zq7#x@host", "smtp://host/?starttls=maybe", "smtps://host?starttls=no", "smtp://host?tls=yes"),
        *("smtp://robot:Zq7 x@host", "smtp://[Zq7", "smtp://robot:Zq7\nx@host", "smtp://robot:Zq7ü@host", ""),
        "smtp://host:99999999",
    ],
)
def test_an_address_of_no_mail_server_is_refused_by_its_setting_with_how_it_is_written(url: str) -> None:
    told = refusal(ConfigurationError, lambda: send_mail(SecretStr(url), MAIL), secrets=("Zq7",))
    assert told.startswith("PAXCAST_SMTP_URL: not ")
    assert "write smtp://USER:PASSWORD@HOST:PORT" in told


def test_mail_goes_to_the_ports_of_submission_unless_another_is_stated() -> None:
    ports = {url: notification._server(SecretStr(url)).port for url in ("smtp://a", "smtps://a", "smtp://a:26")}
    assert ports == {"smtp://a": 587, "smtps://a": 465, "smtp://a:26": 26}


def test_what_is_known_of_a_server_shows_no_secret() -> None:
    shown = repr(notification._server(smtp(25)))
    assert "localhost" in shown
    assert not re.search(r"robot|ss/w", shown)


# --- webhook


def test_a_text_is_posted_as_json_in_slacks_way(hook: HookServer) -> None:
    post(webhook(hook.port), "Zürich: a < b & c\n<!channel>\n")
    [(path, headers, body)] = hook.received
    assert path == f"/services/{TOKEN}?key={TOKEN}"
    assert headers["Content-Type"].startswith("application/json")
    assert body == {"text": "Zürich: a &lt; b &amp; c\n&lt;!channel&gt;\n"}


@pytest.mark.usefixtures("trusted")
def test_a_text_is_posted_by_tls(secure_hook: HookServer) -> None:
    post(webhook(secure_hook.port, "https", "localhost"), "x")
    assert [body for _, _, body in secure_hook.received] == [{"text": "x"}]


def test_a_webhook_whose_certificate_nobody_vouches_for_is_told_nothing(secure_hook: HookServer) -> None:
    told = refusal(InfrastructureError, lambda: post(webhook(secure_hook.port, "https", "localhost"), "x"))
    assert told.startswith("PAXCAST_WEBHOOK_URL: not posted: its certificate is not trusted (self-signed")
    assert secure_hook.received == []


@pytest.mark.usefixtures("trusted")
def test_a_webhooks_certificate_of_another_host_is_not_trusted(secure_hook: HookServer) -> None:
    refusal(InfrastructureError, lambda: post(webhook(secure_hook.port, "https"), "x"))
    assert secure_hook.received == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(hook: HookServer, status: int) -> None:
    hook.status = status
    told = refusal(InfrastructureError, lambda: post(webhook(hook.port), "x"))
    assert told == (
        f"PAXCAST_WEBHOOK_URL: not posted: it answers with a redirect ({status}), which is not followed; state the "
        "address that it leads to"
    )
    assert [path for path, _, _ in hook.received] == [f"/services/{TOKEN}?key={TOKEN}"]


@pytest.mark.parametrize(("status", "told"), [(404, "it answers 404; make a new webhook"), (500, "it answers 500")])
def test_any_other_answer_than_yes_is_an_error(hook: HookServer, status: int, told: str) -> None:
    hook.status = status
    assert told in refusal(InfrastructureError, lambda: post(webhook(hook.port), "x"))


def test_a_webhook_that_says_nothing_is_not_waited_for(silent: int) -> None:
    began = time.monotonic()
    told = refusal(InfrastructureError, lambda: post(webhook(silent), "x"))
    assert told == "PAXCAST_WEBHOOK_URL: not posted: no answer within 0.3 s"
    assert time.monotonic() - began < 30


def test_a_server_that_answers_a_letter_at_a_time_is_not_waited_for(trickling: int) -> None:
    told = refusal(InfrastructureError, lambda: post(webhook(trickling), "x"))
    assert told == "PAXCAST_WEBHOOK_URL: not posted: it was not done within 0.5 s"


def test_a_mail_server_that_answers_a_letter_at_a_time_is_not_waited_for(trickling: int) -> None:
    told = refusal(InfrastructureError, lambda: send_mail(smtp(trickling), MAIL))
    assert told == "PAXCAST_SMTP_URL: the e-mail was not sent: it was not done within 0.5 s"


def test_a_server_that_is_none_of_http_is_no_sensible_answer(bare_mail: MailServer) -> None:
    told = refusal(InfrastructureError, lambda: post(webhook(bare_mail.port), "x"))
    assert told == "PAXCAST_WEBHOOK_URL: not posted: no sensible answer (BadStatusLine)"


def test_without_tls_only_this_machine_is_told_unless_that_is_allowed(hook: HookServer) -> None:
    url = webhook(hook.port, host="0.0.0.0")  # which leads here, and is not known to
    told = refusal(ConfigurationError, lambda: post(url, "x"))
    assert told.startswith("PAXCAST_WEBHOOK_URL: http:// would send its token in the clear; state https://, or notify.")
    assert hook.received == []
    post(url, "x", plain_http=True)
    post(webhook(hook.port, host="localhost"), "x")
    assert len(hook.received) == 2


def test_what_is_for_this_machine_goes_through_no_proxy(hook: HookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://localhost:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    post(webhook(hook.port), "x")
    assert len(hook.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        *(
            "hooks.example.org/T0K3N",
            "ftp://hooks.example.org/T0K3N",
            "https:///T0K3N",
            "https://robot:p@ss@host/T0K3N",
        ),
        *("https://hooks.example.org/T0K3N x", "https://host/T0K3N\n", "https://host/T0K3Nü", "https://[T0K3N/x", ""),
        *("https://host:T0K3N/", "file:///etc/T0K3N", "https://host/#T0K3N"),
    ],
)
def test_an_address_of_no_webhook_is_refused_by_its_setting_with_how_it_is_written(url: str) -> None:
    told = refusal(ConfigurationError, lambda: post(SecretStr(url), "x"))
    assert told.startswith("PAXCAST_WEBHOOK_URL: not ")
    assert told.endswith("beginning with https://")
