"""The demo's mail server: takes every mail, keeps it as a file, and sends nothing on.

One address is refused until its reader lets it in, so that the demo has a notification that failed. The page
to read the mails is in `demo.mail_page`; `python -m demo.mail_sink` runs both.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 500  # the oldest leave
# 554 5.7.1 (RFC 3463): the address exists and its owner's rules refuse the mail. Permanent, but no bounce.
REFUSAL = "554 5.7.1 This mailbox takes no mail yet: let it in on the demo's mail page, then retry"


@dataclass(frozen=True)
class Mail:
    """One mail as it was taken."""

    number: int
    message: EmailMessage

    def text(self) -> str:
        return self._part("plain")

    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body(preferencelist=(kind,))
        content = part.get_content() if part is not None else ""
        return content if isinstance(content, str) else ""


class Mailbox:
    """The mails as files `NUMBER.eml` in one folder, and the address that is refused."""

    def __init__(self, folder: Path, refused: str) -> None:
        self.folder = folder
        self.refused = refused.lower()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._let_in = folder / "let-in"

    def numbers(self) -> list[int]:
        """Newest first."""
        found = (re.fullmatch(r"(\d+)\.eml", path.name) for path in self.folder.iterdir())
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def keep(self, content: bytes) -> int:
        with self._lock:
            numbers = self.numbers()
            number = max(numbers, default=0) + 1
            (self.folder / f"{number}.part").write_bytes(content)
            (self.folder / f"{number}.part").rename(self.folder / f"{number}.eml")
            for old in numbers[KEPT - 1 :]:
                (self.folder / f"{old}.eml").unlink(missing_ok=True)
            return number

    def read(self, number: int) -> Mail | None:
        try:
            content = (self.folder / f"{number}.eml").read_bytes()
        except FileNotFoundError:
            return None
        return Mail(number, message_from_bytes(content, policy=policy.default))

    def raw(self, number: int) -> bytes | None:
        try:
            return (self.folder / f"{number}.eml").read_bytes()
        except FileNotFoundError:
            return None

    def newest(self, many: int) -> list[Mail]:
        return [mail for number in self.numbers()[:many] if (mail := self.read(number))]

    def refuses(self, address: str) -> bool:
        return bool(self.refused) and address.lower() == self.refused and not self._let_in.exists()

    def set_refusal(self, on: bool) -> None:
        if on:
            self._let_in.unlink(missing_ok=True)
        else:
            self._let_in.touch()


class SinkHandler:
    """aiosmtpd calls these; their names are its own."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """As most mail servers do, it takes an envelope in one piece (RFC 2920)."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mailbox.refuses(address):
            return REFUSAL
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        number = await asyncio.get_running_loop().run_in_executor(None, self.mailbox.keep, content)
        return f"250 2.0.0 kept as {number}"


async def serve(mailbox: Mailbox, host: str, port: int, stop: asyncio.Event) -> None:
    """Takes mails until `stop` is set."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(SinkHandler(mailbox), enable_SMTPUTF8=True, loop=loop, ident="Watchkeeper demo"), host, port
    )
    print(f"taking mails on {host}:{port}", flush=True)
    await stop.wait()
    server.close()


async def _run(options: argparse.Namespace) -> None:
    # Here, because the page's module imports this one.
    from demo.mail_page import page_server

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    mailbox = Mailbox(options.folder, options.refuse)
    page = page_server(mailbox, options.host, options.page_port)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    await serve(mailbox, options.host, options.smtp_port, stop)
    page.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--page-port", type=int, default=8025)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--refuse", default="", help="an address that is refused until it is let in")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
