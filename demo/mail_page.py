"""The page to read the demo's mails: a list, and each mail as HTML, text and source. No scripts.

A mail's HTML is shown in a sandboxed frame and may load nothing.
"""

from __future__ import annotations

import re
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from demo.mail_sink import Mail, Mailbox

SHOWN = 100
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'"
)
# Links in a mail open in a new tab, as in a mail reader.
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
FRAME_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d5dbe1, #36424d); --soft: light-dark(#56636f, #a3b1bd);
  --card: light-dark(#fff, #18222b); --link: light-dark(#0b5c86, #7cc7ef) }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; font: 1rem/1.5 system-ui, sans-serif;
  background: light-dark(#f2f5f7, #0f171e); color: light-dark(#15202a, #e7edf2) }
h1 { font-size: 1.25rem; overflow-wrap: anywhere } a { color: var(--link) }
.soft { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere }
.card { display: block; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; margin: .5rem 0; text-decoration: none; overflow-wrap: anywhere }
.card strong { display: block; color: var(--link) }
button { font: inherit; padding: .6rem 1rem; border-radius: .5rem; border: 1px solid var(--line); cursor: pointer }
iframe { width: 100%; height: 44rem; border: 1px solid var(--line); border-radius: .5rem; background: #fff }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: 1rem }
"""


def page_server(mailbox: Mailbox, host: str, port: int) -> ThreadingHTTPServer:
    """The page's server, bound and not yet serving."""

    class Handler(MailPageHandler):
        box = mailbox

    return ThreadingHTTPServer((host, port), Handler)


class MailPageHandler(BaseHTTPRequestHandler):
    """`do_GET`, `do_POST` and `log_message` are the standard library's names."""

    box: Mailbox

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_for_us():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "This page answers on localhost only.")
        elif path == "/":
            self._answer(HTTPStatus.OK, "text/html", list_page(self.box))
        elif match := re.fullmatch(r"/mails/(\d{1,9})(/html|/source)?", path):
            self._answer_mail(int(match[1]), match[2])
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/html", _page("Not found", '<p><a href="/">All mails</a></p>'))

    def do_POST(self) -> None:
        origin = self.headers.get("Origin", "")
        if not self._is_for_us() or (origin and urlsplit(origin).netloc != self.headers.get("Host")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "Use the button on the page.")
            return
        self.box.set_refusal(self.path == "/refuse")
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a page that reloads itself would fill the log."""

    def _is_for_us(self) -> bool:
        """Another site's name that leads to this machine must not read the mails."""
        return self.headers.get("Host", "").rpartition(":")[0] in ("localhost", "127.0.0.1")

    def _answer_mail(self, number: int, form: str | None) -> None:
        mail = self.box.read(number)
        if mail is None:
            body = _page("Not found", '<p>This mail is not kept any more. <a href="/">All mails</a></p>')
            self._answer(HTTPStatus.NOT_FOUND, "text/html", body)
        elif form == "/source":
            self._answer(HTTPStatus.OK, "text/plain", (self.box.raw(number) or b"").decode(errors="replace"))
        elif form == "/html":
            self._answer(HTTPStatus.OK, "text/html", f'<base target="_blank">{mail.html()}', MAIL_POLICY)
        else:
            self._answer(HTTPStatus.OK, "text/html", mail_page(mail))

    def _answer(self, status: HTTPStatus, kind: str, body: str, content_policy: str = PAGE_POLICY) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", content_policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)


def list_page(mailbox: Mailbox) -> str:
    """All mails, newest first; it reloads itself."""
    cards = "".join(
        f'<a class="card" href="/mails/{mail.number}"><strong>{escape(_header(mail, "Subject"))}</strong>'
        f'<span class="soft">to {escape(_header(mail, "To"))} · {escape(_header(mail, "Date"))}</span></a>'
        for mail in mailbox.newest(SHOWN)
    )
    empty = "<p>No mail yet. The page reloads itself.</p>"
    return _page("Mails of the demo", _refusal(mailbox) + (cards or empty), reload=True)


def _refusal(mailbox: Mailbox) -> str:
    if not mailbox.refused:
        return ""
    refuses = mailbox.refuses(mailbox.refused)
    state = "is refused: its notification fails" if refuses else "is let in: retry its notification in the admin"
    action, label = ("/let-in", "Let its mail in") if refuses else ("/refuse", "Refuse it again")
    return (
        f'<form class="card" method="post" action="{action}"><p>Mail to <b>{escape(mailbox.refused)}</b> {state}.</p>'
        f"<button>{label}</button></form>"
    )


def mail_page(mail: Mail) -> str:
    """One mail with its headers, as HTML and as text."""
    headers = "<br>".join(f"{name}: {escape(_header(mail, name))}" for name in ("From", "To", "Date", "Message-ID"))
    frame = (
        f'<iframe title="The mail" sandbox="{FRAME_SANDBOX}" src="/mails/{mail.number}/html"></iframe>'
        if mail.html()
        else ""
    )
    body = (
        f'<p><a href="/">All mails</a></p><p class="soft">{headers}<br>'
        f'<a href="/mails/{mail.number}/source">Source</a></p>{frame}<h1>As text</h1><pre>{escape(mail.text())}</pre>'
    )
    return _page(_header(mail, "Subject"), body)


def _header(mail: Mail, name: str) -> str:
    return str(mail.message.get(name, "")) or "–"


def _page(title: str, body: str, reload: bool = False) -> str:
    refresh = '<meta http-equiv="refresh" content="5">' if reload else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>{refresh}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{body}</html>"
    )
