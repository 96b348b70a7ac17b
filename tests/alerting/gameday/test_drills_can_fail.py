"""A drill that cannot fail proves nothing: here the product is broken on purpose, from outside, in all processes.

Python imports `sitecustomize` from the first folder of PYTHONPATH when it starts; ours breaks one function of the
product as soon as Django is set up.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from alerting.gameday.drills import DRILLS
from alerting.gameday.inside import PATIENCE
from alerting.gameday.runner import GameDay

_AFTER_SETUP = """
import django
_setup = django.setup
def setup(*arguments, **named):
    _setup(*arguments, **named)
    sabotage()
django.setup = setup
def sabotage():
{body}
"""

# drill, what is broken, the promise that must break
SABOTAGES = {
    "a look-up that fails is swallowed": (
        "profile-query-fails",
        """
        import alerting.cycle.load as load
        real = load._users
        def users(keys):
            try:
                return real(keys)
            except Exception:
                return {}
        load._users = users
        """,
        "all messages wait, and no attempt is burnt",
    ),
    "the deleted user is not told of": (
        "deleted-user",
        """
        import alerting.cycle.prepare as prepare
        prepare.incident_report = lambda **report: None
        """,
        "Slack hears of deleted_user_with_subscriptions",
    ),
    "a template's error is the message's": (
        "template-error-in-one-rule",
        """
        import alerting.cycle.render as render
        class Other(Exception): pass
        render.TemplateFault = Other
        """,
        "all others are delivered",
    ),
    "a message is sent twice": (
        "smtp-refuses-some",
        """
        from alerting.transports.email.connection import EmailTransport
        real = EmailTransport.send
        def send(self, outgoing, **named):
            real(self, outgoing, deadline=named['deadline'])
            return real(self, outgoing, **named)
        EmailTransport.send = send
        """,
        "none is repeated",
    ),
    "a message is marked sent that never left": (
        "nil-vessel",
        """
        from alerting.transports.email.connection import EmailTransport
        EmailTransport.send = lambda self, outgoing, *, deadline, handover=None: '250 so they say'
        """,
        "none is lost",
    ),
    "old rows are deleted": (
        "older-than-48-hours",
        """
        import alerting.workers.housekeeping as housekeeping
        from alerting.models import Message, Notification
        def stale_step(*, now):
            old = Message.objects.filter(state='pending', expires_at__lte=now)
            Notification.objects.filter(message__in=old).delete()
        housekeeping.stale_step = stale_step
        """,
        "no notification disappears",
    ),
    "a claim is not fair": (
        "flood",
        """
        import uuid
        import alerting.cycle.rounds as rounds
        from django.utils import timezone
        from alerting.models import Message
        def claim(*, limit, now, lease, monotonic, suspects=False, **named):
            token = uuid.uuid4()
            due = Message.objects.filter(state="pending", next_attempt_at__lte=now, deaths=0)
            found = [] if suspects else list(due.order_by("pk").values_list("pk", flat=True)[:limit])
            Message.objects.filter(pk__in=found).update(
                state="claimed", claim_token=token, lease_until=timezone.now() + lease,
                claimed_by="first come",
            )
            return rounds.Claim(token, monotonic() + lease.total_seconds(), tuple(found))
        rounds.claim = claim
        """,
        "the single notification is sent",
    ),
}
QUICK = ("a message is sent twice", "a message is marked sent that never left")


def _parameter(name: str) -> object:
    return pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", [_parameter(name) for name in SABOTAGES])
def test_a_drill_fails_when(day: GameDay, tmp_path: Path, name: str) -> None:
    drill, body, promise = SABOTAGES[name]
    indented = indent(dedent(body), "    ")
    (tmp_path / "sitecustomize.py").write_text(_AFTER_SETUP.format(body=indented))

    verdict = day.play(DRILLS[drill], environment={"PYTHONPATH": str(tmp_path), PATIENCE: "4"})

    assert any(promise in one.text for one in verdict.broken), [one.line() for one in verdict.promises]
