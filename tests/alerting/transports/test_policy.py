"""What each class of SMTP answer asks for."""

from __future__ import annotations

import pytest

from alerting.models import ErrorKind
from alerting.transports.email.policy import BOUNCE, GIVE_UP, MEND_SETTINGS, WAIT, WAIT_ALL, Stage, Verdict, judge

CASES: list[tuple[Stage, int, str, Verdict]] = [
    # before any message: the way out itself
    (Stage.CONNECT, 421, "4.3.2 too busy", WAIT_ALL),
    (Stage.CONNECT, 554, "5.7.1 your address is on a list", MEND_SETTINGS),
    (Stage.CONNECT, -1, "garbage", WAIT_ALL),
    (Stage.HELLO, 501, "who are you", MEND_SETTINGS),
    (Stage.STARTTLS, 454, "4.7.0 TLS not available now", WAIT_ALL),
    (Stage.STARTTLS, 502, "not implemented", MEND_SETTINGS),
    (Stage.AUTH, 535, "5.7.8 bad credentials", MEND_SETTINGS),
    (Stage.AUTH, 454, "4.7.0 temporary failure", WAIT_ALL),
    (Stage.AUTH, 504, "5.5.4 mechanism", MEND_SETTINGS),
    # the sender
    (Stage.MAIL, 530, "5.7.0 authentication required", MEND_SETTINGS),
    (Stage.MAIL, 550, "5.7.1 sender not allowed", MEND_SETTINGS),
    (Stage.MAIL, 553, "5.1.8 bad sender's domain", MEND_SETTINGS),
    (Stage.MAIL, 451, "4.3.0 try later", WAIT),
    (Stage.MAIL, 552, "5.3.4 too big", GIVE_UP),
    # the recipient
    (Stage.RCPT, 450, "4.2.0 greylisted", WAIT),
    (Stage.RCPT, 421, "4.7.0 closing", WAIT),
    (Stage.RCPT, 550, "5.1.1 no such user", BOUNCE),
    (Stage.RCPT, 550, "5.1.2 no such host", BOUNCE),
    (Stage.RCPT, 550, "5.1.10 null MX", BOUNCE),
    (Stage.RCPT, 550, "5.2.1 mailbox disabled", BOUNCE),
    (Stage.RCPT, 550, "no such user here", BOUNCE),
    (Stage.RCPT, 553, "mailbox name not allowed", BOUNCE),
    (Stage.RCPT, 501, "5.1.3 bad address", BOUNCE),
    (Stage.RCPT, 552, "5.2.2 mailbox full", WAIT),
    (Stage.RCPT, 552, "mailbox full", WAIT),
    (Stage.RCPT, 452, "4.2.2 over quota", WAIT),
    (Stage.RCPT, 550, "5.7.1 refused by policy", GIVE_UP),
    (Stage.RCPT, 554, "transaction failed", GIVE_UP),
    (Stage.RCPT, 550, "5.7.8 sign in first", MEND_SETTINGS),
    # the content
    (Stage.DATA, 451, "4.7.1 try later", WAIT),
    (Stage.DATA, 554, "5.7.1 looks like spam", GIVE_UP),
    (Stage.DATA, 550, "spam", GIVE_UP),
    (Stage.DATA, 552, "5.3.4 too big", GIVE_UP),
    (Stage.DATA, 550, "5.1.1 no such user after all", BOUNCE),
    (Stage.DATA, 200, "what", WAIT),
]


@pytest.mark.parametrize(("stage", "code", "text", "verdict"), CASES)
def test_an_answer_asks_for(stage: Stage, code: int, text: str, verdict: Verdict) -> None:
    assert judge(stage, code, text) == verdict


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("hundred", [400, 500])
def test_every_code_has_one_answer(stage: Stage, hundred: int) -> None:
    for code in range(hundred, hundred + 100):
        for text in ("", "5.9.9 unheard of", "4.1.1 odd", "words"):
            verdict = judge(stage, code, text)

            assert verdict.kind != ErrorKind.OURS
            assert not (verdict.bounced and verdict.kind != ErrorKind.PERMANENT)
            assert not (verdict.bounced and verdict.whole_kind)
            assert not (code < 500 and verdict.kind == ErrorKind.PERMANENT)
