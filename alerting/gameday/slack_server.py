"""A Slack of our own on loopback: it speaks the webhook's and `chat.postMessage`'s answers, and can misbehave.

server = SlackServer()
settings.SLACK_WEBHOOK_URL = server.url
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass
class SlackServer:
    """Set `answer` to ok, ratelimited (429), error (500), gone (404) or hang; `refuse()` closes the port."""

    answer: str = "ok"
    retry_after: int = 1
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # texts that were answered with ok
    taken_at: list[float] = field(default_factory=list)
    url: str = ""
    api_url: str = ""

    def __post_init__(self) -> None:
        self._released = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        base = f"http://127.0.0.1:{self._http.server_port}"
        self.url, self.api_url = f"{base}/services/T000/B000/hush", f"{base}/api/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def texts(self) -> list[str]:
        return [request.get("text", "") for request in self.requests]

    def wait_for(self, count: int, timeout: float = 5.0) -> bool:
        """Waits until that many requests have come in."""
        deadline = time.monotonic() + timeout
        while len(self.requests) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.requests) >= count

    def refuse(self) -> None:
        """Connections are refused from now on, and hanging ones end."""
        self._released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def close(self) -> None:
        """`refuse()`, unless that was done already."""
        if self._thread.is_alive():
            self.refuse()

    def heard(self, words: str, *, since: float = 0.0) -> float | None:
        """When (monotonic seconds) a text with these words came and was taken, first after `since`; None: never.

        That it is resolved is no news of it.
        """
        times = (at for at, text in zip(self.taken_at, self.taken, strict=False) if at >= since and _tells(text, words))
        return next(times, None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                slack.requests.append(_parsed(body, self.headers.get("Content-Type", "")))
                slack.times.append(time.monotonic())
                if slack.answer == "hang":
                    slack._released.wait(60)
                    return
                self._reply(self.path.startswith("/api/"))

            def _reply(self, api: bool) -> None:
                status, text = _ANSWERS[slack.answer]
                if status == 200:
                    slack.taken_at.append(slack.times[-1])
                    slack.taken.append(slack.texts[-1])
                if api:
                    number = f"1700000000.{len(slack.requests):06d}"
                    ok = {"ok": True, "channel": "C1", "ts": number}
                    text = json.dumps(ok if status == 200 else {"ok": False, "error": text})
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", str(slack.retry_after))
                self.send_header("Content-Type", "application/json" if api else "text/html")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler


_ANSWERS = {
    "ok": (200, "ok"),
    "ratelimited": (429, "ratelimited"),
    "error": (500, "server_error"),
    "gone": (404, "no_service"),
}


def _tells(text: str, words: str) -> bool:
    """One text may tell of several incidents, a line each."""
    return any(words in line and "Resolved by" not in line for line in text.splitlines())


def _parsed(body: bytes, content_type: str) -> dict[str, Any]:
    if "json" in content_type:
        found: dict[str, Any] = json.loads(body)
        return found
    return {key: values[0] for key, values in parse_qs(body.decode()).items()}
