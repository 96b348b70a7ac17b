"""The process of one drill: `python -m alerting.gameday.inside DRILL FOLDER`.

It makes the servers, points the settings at them before Django reads them, plays the drill, and writes its verdict to
FOLDER/verdict.json. With a port as third argument the pages are served meanwhile: the drill begins when a line comes
on standard input, and the process ends with that input.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from alerting.gameday.processes import bound_to_parent
from alerting.gameday.slack_server import SlackServer
from alerting.gameday.smtp_server import SmtpServer
from alerting.gameday.verdict import Verdict

if TYPE_CHECKING:  # these need settings, which are read only when the servers are there
    from alerting.gameday.drill import Drill
    from alerting.gameday.stage import Stage

VERDICT, PAGES, DATA = "verdict.json", "pages.txt", "data_directory.txt"
# For who expects a drill to fail: seconds, and words of the promise that must break.
PATIENCE, MEANT_TO_BREAK = "GAMEDAY_PATIENCE", "GAMEDAY_MEANT_TO_BREAK"
OPERATOR = "operator@gameday.example"


def main(name: str, folder: Path, port: int) -> None:
    """Play one drill."""
    signal.signal(signal.SIGTERM, _leave)
    smtp, slack = SmtpServer().start(), SlackServer()
    os.environ.update(_settings(smtp, slack, port))
    django.setup()
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's: three lines for each command
    from alerting.gameday.drills import DRILLS
    from alerting.gameday.stage import Stage

    if DRILLS[name].own_server:
        _prepare_server(folder)
    stage = Stage(
        smtp=smtp,
        slack=slack,
        folder=folder,
        patience=float(os.environ.get(PATIENCE, "inf")),
        meant_to_break=os.environ.get(MEANT_TO_BREAK, ""),
    )
    try:
        if port:
            _serve_pages(stage, port, folder)
            sys.stdin.readline()
        verdict = _play(DRILLS[name], stage)
    finally:
        stage.close()
    _write(folder / VERDICT, verdict.as_json())
    if port:
        sys.stdin.read()  # until whoever watches has seen enough


def _settings(smtp: SmtpServer, slack: SlackServer, port: int) -> dict[str, str]:
    found = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp.port),
        "SLACK_WEBHOOK_URL": slack.url,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    return found | ({"PUBLIC_URL": f"http://localhost:{port}"} if port else {})


def _prepare_server(folder: Path) -> None:
    """The settings have started a database server of this drill's own; whoever runs the drill takes its data away."""
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        _write(folder / DATA, str(cursor.fetchone()[0]))


def _serve_pages(stage: Stage, port: int, folder: Path) -> None:
    """The product's own web server on this database; it ends with this process."""
    from alerting.gameday.readers import operator_make

    password = secrets.token_urlsafe(9)
    operator_make(organisation=stage.organisation, email=OPERATOR, password=password)
    with (folder / "web.log").open("wb") as log:
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "config.wsgi"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=bound_to_parent(),
        )
    _write(folder / PAGES, f"http://localhost:{port}\n{OPERATOR}\n{password}\n")


def _play(chosen: Drill, stage: Stage) -> Verdict:
    from alerting.gameday.stage import SeenToFail

    verdict = Verdict(drill=chosen.name, broke=chosen.broke, promises=stage.promises)
    with suppress(SeenToFail):
        _play_through(chosen, stage, verdict)
    return verdict


def _play_through(chosen: Drill, stage: Stage, verdict: Verdict) -> None:
    from alerting.gameday.drill import CannotBePlayed
    from alerting.gameday.stage import SeenToFail

    began = time.monotonic()
    try:
        chosen.play(stage)
    except CannotBePlayed as fault:
        verdict.skipped = str(fault)
        return
    except SeenToFail:
        raise
    except Exception as fault:  # whatever a drill meets is its result
        traceback.print_exc()
        stage.promise("the drill runs to its end", False, f"{type(fault).__name__}: {fault}")
    tally = stage.closing()
    verdict.others, verdict.others_delivered = tally.others, tally.others_delivered
    verdict.lost, verdict.repeated = len(tally.lost), tally.repeated
    verdict.slack_seconds, verdict.seconds = stage.slack_seconds, time.monotonic() - began


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for who waits for it."""
    path.with_suffix(".part").write_text(text, encoding="utf-8")
    path.with_suffix(".part").rename(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
