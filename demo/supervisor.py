"""Starts every part of the product, keeps it running and stops it: what `make run` runs.

The parts are the same programs as in production; only the vessels and the mail server are simulated.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from config import embedded_postgres
from config.environment import BASE_DIR, Environment, read_environment
from demo import operator
from demo.processes import Child, die_with_parent, stop_all

HOST = "127.0.0.1"
REFUSED = "ben@kahu.example"
STOP_SECONDS = 8.0
START_SECONDS = 60.0
DATABASE_LOOK_SECONDS = 3.0
SEED = 1
AIS_PORT_IN_SETUP = 10110


class DemoFault(Exception):
    """The demo cannot start; the message says why and what helps."""


@dataclass(frozen=True)
class Ports:
    """Where the parts listen, all on loopback."""

    web: int
    ais: int
    smtp: int
    mails: int


def choose_ports(web: int, environment: dict[str, str]) -> Ports:
    """The web server's port as it was asked for; the others as they were, or their usual one, or a free one.

    Raises `DemoFault` that names the variable of a port that is in use.
    """
    _demand_free("PORT", web)
    return Ports(
        web,
        _other("DEMO_AIS_PORT", AIS_PORT_IN_SETUP, environment),
        _other("DEMO_SMTP_PORT", 1025, environment),
        _other("DEMO_MAIL_PORT", 8025, environment),
    )


def _other(variable: str, usual: int, environment: dict[str, str]) -> int:
    asked = environment.get(variable, "")
    if not asked:
        return usual if _is_free(usual) else _free_port()
    if not asked.isdecimal() or not 1 <= int(asked) <= 65535:
        raise DemoFault(f"{variable} = {asked!r}: a port is a number from 1 to 65535")
    _demand_free(variable, int(asked))
    return int(asked)


def _demand_free(variable: str, port: int) -> None:
    if not _is_free(port):
        raise DemoFault(
            f"Port {port} on {HOST} cannot be used: another program listens there, or the system reserves it. "
            f"Choose another with {variable}, for example: {variable}={_free_port()} make run"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: connections of the last run that are just ending do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Demo:
    """One run of the demo."""

    def __init__(self, settings: Environment, ports: Ports) -> None:
        self.settings = settings
        self.ports = ports
        self.folder = settings.var_dir.resolve() / "demo"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = self._environment()
        self.children: list[Child] = []
        self.interrupts = 0

    def run(self) -> int:
        """Until SIGINT or SIGTERM. Returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)
        try:
            self._prepare()
            if not self._interrupted():
                self._start_children()
                self._wait_for_web()
            if not self._interrupted():
                print(box(self._facts()), flush=True)
            self._keep_running()
        finally:
            late = self._stop()
        return 1 if late else 0

    def _interrupted(self) -> bool:
        return self.interrupts > 0

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupts += 1

    def _environment(self) -> dict[str, str]:
        metrics = self.folder / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        (self.folder.parent / "static").mkdir(exist_ok=True)  # empty: the web server finds the files themselves
        environment = dict(os.environ)
        environment.setdefault("PUBLIC_URL", f"http://localhost:{self.ports.web}")
        environment.setdefault("ENVIRONMENT", "demo")
        environment |= {
            "SMTP_HOST": HOST,
            "SMTP_PORT": str(self.ports.smtp),
            "SMTP_TLS": "none",
            "SMTP_USER": "",
            "SMTP_PASSWORD": "",
            "VAR_DIR": str(self.folder.parent),
            "LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        return environment

    def _prepare(self) -> None:
        """What has to be there before any part can start."""
        if self.settings.database_url is None:
            say("starting the embedded PostgreSQL")
            embedded_postgres.ensure_running(self.settings.var_dir)
        say("bringing the database up to date")
        self._command("manage.py", "migrate", "--noinput", "--verbosity", "0")
        say("applying demo/setup.yaml")
        self._command("manage.py", "apply", str(self._setup_file()))
        self._command("-m", "demo.operator")

    def _command(self, *arguments: str) -> None:
        """One step that must work. A Ctrl-C ends it."""
        if self._interrupted():
            return
        with (self.folder / "prepare.log").open("w+b") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, *arguments],
                cwd=BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
            while process.poll() is None:
                if self._interrupted():
                    process.terminate()
                time.sleep(0.05)
            if process.returncode != 0 and not self._interrupted():
                log.seek(0)
                said = log.read().decode(errors="replace").strip()
                raise DemoFault(f"`python {' '.join(arguments)}` failed:\n{said[-4000:]}")

    def _setup_file(self) -> Path:
        """The demo's setup with this run's port of the simulated receiver."""
        source = Path(__file__).parent
        shutil.copytree(source / "areas", self.folder / "areas", dirs_exist_ok=True)
        text = (source / "setup.yaml").read_text(encoding="utf-8")
        target = self.folder / "setup.yaml"
        target.write_text(text.replace(f":{AIS_PORT_IN_SETUP}", f":{self.ports.ais}"), encoding="utf-8")
        return target

    def _world_began(self) -> str:
        """When the simulated world began: at the first run. Ships sail on while the demo is stopped."""
        kept = self.folder / "world_began"
        if not kept.exists():
            kept.write_text(datetime.now(UTC).isoformat(), encoding="utf-8")
        return kept.read_text(encoding="utf-8")

    def _start_children(self) -> None:
        say("starting the parts")
        python, ports = sys.executable, self.ports
        mails = ["--smtp-port", str(ports.smtp), "--page-port", str(ports.mails)]
        mails += ["--folder", str(self.folder / "mails"), "--refuse", REFUSED]
        traffic = ["--port", str(ports.ais), "--seed", str(SEED), "--began", self._world_began()]
        web = ["--config", "config/gunicorn.py", "--bind", f"{HOST}:{ports.web}", "--log-level", "warning"]
        commands = {
            "mail server": [python, "-m", "demo.mail_sink", *mails],
            "web": [python, "-m", "gunicorn", *web, "--graceful-timeout", "3", "config.wsgi"],
            "worker realtime": [python, "manage.py", "worker", "realtime"],
            "worker digest": [python, "manage.py", "worker", "digest"],
            "worker housekeeping": [python, "manage.py", "worker", "housekeeping"],
            "watch": [python, "manage.py", "watch"],
            "simulator": [python, "-m", "demo.simulator", *traffic],
        }
        for name, command in commands.items():
            self.children.append(self._child(name, command))
            self.children[-1].start()

    def _child(self, name: str, command: list[str]) -> Child:
        word = name.replace(" ", "-")
        metrics = self.folder / "metrics" / word  # one folder for each deployment
        metrics.mkdir(parents=True, exist_ok=True)
        environment = self.environment | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        return Child(name, command, environment, self.folder / "logs" / f"{word}.log", say)

    def _wait_for_web(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._interrupted() and time.monotonic() < deadline:
            self._look_after()
            if _answers(f"http://{HOST}:{self.ports.web}/"):
                return
            time.sleep(0.2)
        if not self._interrupted():
            raise DemoFault(f"The web server does not answer. Its log: {self.folder / 'logs' / 'web.log'}")

    def _keep_running(self) -> None:
        looked = time.monotonic()
        while not self._interrupted():
            self._look_after()
            if self.settings.database_url is None and time.monotonic() - looked > DATABASE_LOOK_SECONDS:
                embedded_postgres.ensure_running(self.settings.var_dir)  # started again if somebody killed it
                looked = time.monotonic()
            time.sleep(0.1)

    def _look_after(self) -> None:
        for child in self.children:
            child.look_after(time.monotonic())

    def _stop(self) -> list[str]:
        say("stopping; Ctrl-C again stops at once")
        first = self.interrupts
        forced: Callable[[], bool] = lambda: self.interrupts > first  # noqa: E731
        # The mail server last, so that what is on the wire still arrives.
        late = stop_all([child for child in self.children if child.name != "mail server"], STOP_SECONDS, forced)
        late += stop_all([child for child in self.children if child.name == "mail server"], 2.0, forced)
        say(f"killed: {', '.join(late)}" if late else f"stopped; the data stay in {self.folder.parent}")
        return late

    def _facts(self) -> list[tuple[str, str]]:
        address = self.environment["PUBLIC_URL"]
        return [
            ("Watchkeeper", address),
            ("sign in", f"ana@kahu.example   password {operator.PASSWORD}"),
            ("mails", f"http://localhost:{self.ports.mails}"),
            ("admin", f"{address}/admin/"),
            ("as operator", f"{operator.EMAIL}   password {operator.PASSWORD}"),
            ("", ""),
            ("look at", "the map: RANGI EXPLORER crosses 180° into the 400 nmi zone within a minute,"),
            ("", "MATANGI goes silent in Cook Strait and is missed a minute later"),
            ("then", f"admin > Notifications: one to {REFUSED} failed. Let its mail"),
            ("", "in on the mail page, then retry it in the admin"),
            ("logs", f"{self.folder / 'logs'}"),
            ("stop", "Ctrl-C"),
        ]


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=3).close()  # noqa: S310 - loopback
    except urllib.error.HTTPError as answer:
        return answer.code < 500
    except OSError:
        return False
    return True


def box(facts: list[tuple[str, str]]) -> str:
    """The facts in a frame, as wide as the longest of them."""
    lines = [f"{name:<12}{value}" for name, value in facts]
    width = max(len(line) for line in lines)
    edge = "─" * (width + 2)
    return "\n".join(["", f"┌{edge}┐", *(f"│ {line:<{width}} │" for line in lines), f"└{edge}┘", ""])


def say(line: str) -> None:
    """One line on the screen."""
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", flush=True)


def run() -> int:
    """The demo with the settings of this environment. Returns the exit code."""
    settings = read_environment()
    return Demo(settings, choose_ports(settings.port, dict(os.environ))).run()
