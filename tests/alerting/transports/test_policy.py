"""What each class of SMTP answer asks for. Every row says why."""

from __future__ import annotations

import pytest

from alerting.models import ErrorKind
from alerting.transports.email.policy import (
    BOUNCE,
    GIVE_UP,
    MEND_FOR_THIS,
    MEND_SETTINGS,
    WAIT,
    WAIT_ALL,
    Stage,
    Verdict,
    judge,
)

Row = tuple[Stage, int, str, Verdict, str]

BEFORE_A_MESSAGE: list[Row] = [
    (Stage.CONNECT, 421, "4.3.2 too busy", WAIT_ALL, "busy now, for whatever we bring"),
    (Stage.CONNECT, 450, "4.7.1 client host rejected: cannot find your hostname", WAIT_ALL, "DNS may come back"),
    (Stage.CONNECT, 554, "5.7.1 your address is on a list", MEND_SETTINGS, "we are blocked: nothing can leave"),
    (Stage.CONNECT, 554, "no SMTP service here", MEND_SETTINGS, "RFC 5321, 3.1: the wrong server"),
    (Stage.CONNECT, 521, "this host accepts no mail", MEND_SETTINGS, "RFC 7504: the wrong server"),
    (Stage.CONNECT, 552, "odd", MEND_SETTINGS, "no mail is known yet that could be too big"),
    (Stage.CONNECT, 550, "5.1.1 odd", MEND_SETTINGS, "no recipient is known yet that could bounce"),
    (Stage.CONNECT, -1, "garbage", WAIT_ALL, "no answer of SMTP at all; perhaps a server that is starting"),
    (Stage.HELLO, 501, "who are you", MEND_SETTINGS, "our host's name is refused"),
    (Stage.HELLO, 421, "4.4.2 time-out", WAIT_ALL, "the server closes"),
    (Stage.STARTTLS, 454, "4.7.0 TLS not available now", WAIT_ALL, "RFC 3207: for a temporary reason"),
    (Stage.STARTTLS, 502, "not implemented", MEND_SETTINGS, "SMTP_TLS does not fit this server"),
    (Stage.AUTH, 535, "5.7.8 bad credentials", MEND_SETTINGS, "RFC 4954: SMTP_USER or SMTP_PASSWORD is wrong"),
    (Stage.AUTH, 534, "5.7.9 mechanism too weak", MEND_SETTINGS, "another way to sign in is asked for"),
    (Stage.AUTH, 538, "5.7.11 encryption required", MEND_SETTINGS, "SMTP_TLS is missing"),
    (Stage.AUTH, 504, "5.5.4 mechanism", MEND_SETTINGS, "the mechanism is not known there"),
    (Stage.AUTH, 454, "4.7.0 temporary failure", WAIT_ALL, "RFC 4954: the server's own trouble"),
    (Stage.AUTH, 432, "4.7.12 password transition", WAIT_ALL, "4xx; the next sign-in may pass"),
]

OF_THE_SENDER: list[Row] = [
    (Stage.MAIL, 530, "5.7.0 must issue STARTTLS first", MEND_SETTINGS, "for every mail"),
    (Stage.MAIL, 530, "5.7.0 authentication required", MEND_SETTINGS, "for every mail"),
    (Stage.MAIL, 550, "5.7.1 sender not allowed", MEND_SETTINGS, "every mail has this sender"),
    (Stage.MAIL, 553, "5.1.8 bad sender's domain", MEND_SETTINGS, "every mail has this sender"),
    (Stage.MAIL, 550, "5.4.5 daily sending limit exceeded", MEND_SETTINGS, "nothing leaves; no attempt is burnt"),
    (Stage.MAIL, 503, "5.5.1 polite people say HELO first", MEND_SETTINGS, "the session itself is refused"),
    (Stage.MAIL, 421, "4.7.0 too many messages", WAIT, "the server closes this connection"),
    (Stage.MAIL, 451, "4.3.0 try later", WAIT, "4xx"),
    (Stage.MAIL, 452, "4.3.1 insufficient system storage", WAIT, "a full disk is made room on"),
    (Stage.MAIL, 552, "5.3.4 too big", GIVE_UP, "SIZE was announced: this mail never passes"),
]

OF_THE_RECIPIENT: list[Row] = [
    # passes
    (Stage.RCPT, 450, "4.2.0 greylisted", WAIT, "the next try is let in"),
    (Stage.RCPT, 451, "4.7.1 greylisting in action, please come back later", WAIT, "the next try is let in"),
    (Stage.RCPT, 421, "4.7.0 closing", WAIT, "the server closes; another connection for the next try"),
    (Stage.RCPT, 450, "4.2.1 mailbox busy", WAIT, "4xx"),
    (Stage.RCPT, 452, "4.2.2 over quota", WAIT, "a mailbox is emptied again one day"),
    (Stage.RCPT, 452, "4.5.3 too many recipients", WAIT, "4xx"),
    (Stage.RCPT, 552, "5.2.2 mailbox full", WAIT, "the same, though the server calls it final"),
    (Stage.RCPT, 552, "mailbox full", WAIT, "RFC 5321: exceeded storage allocation"),
    (Stage.RCPT, 550, "Mailbox quota exceeded", WAIT, "full, in words"),
    (Stage.RCPT, 554, "5.3.1 mail system full", WAIT, "a full disk is made room on"),
    (Stage.RCPT, 550, "5.4.7 delivery time expired", WAIT, "time ran out; nobody refused"),
    (Stage.RCPT, 200, "what", WAIT, "no answer to this command"),
    (Stage.RCPT, 0, "", WAIT, "no answer at all"),
    (
        Stage.RCPT,
        550,
        "5.2.1 The user you are trying to contact is receiving mail at a rate that prevents",
        WAIT,
        "Gmail",
    ),
    (Stage.RCPT, 550, "5.1.1 Rate limit exceeded", WAIT, "no bounce, whatever the code says"),
    (
        Stage.RCPT,
        554,
        "Throttling failure: Maximum sending rate exceeded.",
        WAIT,
        "SES says it with 454, relays with 554",
    ),
    (Stage.RCPT, 550, "User is receiving mail too quickly", WAIT, "Yahoo"),
    (Stage.RCPT, 550, "5.2.121 recipient's per hour receive limit from specific sender exceeded", WAIT, "Exchange"),
    (Stage.RCPT, 550, "5.2.1 grey-listed, come back later", WAIT, "the words outrank the code"),
    (Stage.RCPT, 550, "Greylisted, try again later", WAIT, "the next try is let in, though the code is final"),
    # the address does not exist
    (Stage.RCPT, 550, "5.1.1 no such user", BOUNCE, "bad mailbox"),
    (Stage.RCPT, 550, "5.1.2 no such host", BOUNCE, "bad system"),
    (Stage.RCPT, 501, "5.1.3 bad address", BOUNCE, "bad syntax"),
    (Stage.RCPT, 551, "5.1.6 moved away", BOUNCE, "moved, no forwarding"),
    (Stage.RCPT, 556, "5.1.10 null MX", BOUNCE, "RFC 7505: its domain takes no mail"),
    (Stage.RCPT, 550, "5.2.1 mailbox disabled", BOUNCE, "an account that was closed"),
    (Stage.RCPT, 550, "no such user here", BOUNCE, "550 alone: mailbox unavailable"),
    (Stage.RCPT, 550, "Unrouteable address", BOUNCE, "Exim's words for it"),
    (Stage.RCPT, 553, "mailbox name not allowed", BOUNCE, "RFC 5321, 4.2.2"),
    (Stage.RCPT, 556, "domain does not accept mail", BOUNCE, "RFC 7504"),
    (Stage.RCPT, 550, "sorry, no mailbox here by that name (#5.1.1)", BOUNCE, "qmail's place for the code"),
    (Stage.RCPT, 550, "5.1.1 <a@b>: User unknown in relay recipient table", BOUNCE, "the code outranks the word relay"),
    (Stage.RCPT, 550, "5.1.1 unknown, check the address and try again", BOUNCE, "with another address, not later"),
    (Stage.RCPT, 550, "5.1.1 <dmarc-greylist@rbl.example>: unknown", BOUNCE, "what an address is called says nothing"),
    (Stage.RCPT, 550, "The account\n5.1.1 that you tried to reach does not exist", BOUNCE, "in the second line"),
    (Stage.RCPT, 550, "5.1.1 The account that\n5.1.1 you tried to reach", BOUNCE, "in every line"),
    # refused, and it exists
    (Stage.RCPT, 550, "5.7.1 refused by policy", GIVE_UP, "a rule of its owner; the third in a row disables"),
    (Stage.RCPT, 554, "5.7.1 this mailbox takes no mail yet", GIVE_UP, "a rule of its owner"),
    (Stage.RCPT, 550, "5.7.504 [a@b]: Recipient address rejected: Access denied", GIVE_UP, "Microsoft: the recipient"),
    (Stage.RCPT, 550, "5.7.505 Access denied, banned recipient", GIVE_UP, "Microsoft: the recipient"),
    (Stage.RCPT, 550, "5.7.507 Access denied, rejected by recipient", GIVE_UP, "Microsoft: a rule of its owner"),
    (Stage.RCPT, 550, "Administrative prohibition", GIVE_UP, "550 alone may be a rule: no bounce at once"),
    (Stage.RCPT, 550, "5.4.1 Recipient address rejected: Access denied", GIVE_UP, "so Exchange says of strangers, too"),
    (Stage.RCPT, 550, "5.1.0 Address rejected", GIVE_UP, "says too little for a bounce"),
    (Stage.RCPT, 554, "transaction failed", GIVE_UP, "says nothing of the mailbox"),
    (Stage.RCPT, 552, "message size exceeds the maximum", GIVE_UP, "too big, and so it stays"),
    # ours to mend: it would cost every reader his channel, one after the other
    (Stage.RCPT, 554, "5.7.1 <a@b>: Relay access denied", MEND_FOR_THIS, "Postfix, to a client it does not know"),
    (Stage.RCPT, 550, "5.7.1 Unable to relay", MEND_FOR_THIS, "Exchange, the same"),
    (Stage.RCPT, 550, "relay not permitted", MEND_FOR_THIS, "Exim, the same, with no code: not a bounce"),
    (Stage.RCPT, 553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", MEND_FOR_THIS, "qmail"),
    (Stage.RCPT, 553, "5.7.1 <b@w>: Sender address rejected: not owned by user w", MEND_FOR_THIS, "BOUNCE_ADDRESS"),
    (Stage.RCPT, 550, "5.1.0 <b@w>: Sender address rejected: User unknown", MEND_FOR_THIS, "Postfix waits for RCPT"),
    (Stage.RCPT, 550, "Verification failed for <b@w>\nSender verify failed", MEND_FOR_THIS, "Exim asked our server"),
    (Stage.RCPT, 553, "5.1.8 <b@w>: Domain not found", MEND_FOR_THIS, "the sender's domain"),
    (Stage.RCPT, 554, "5.7.1 <w>: Client host rejected: Access denied", MEND_FOR_THIS, "our address, not theirs"),
    (Stage.RCPT, 504, "5.5.2 <w>: Helo command rejected: need a name", MEND_FOR_THIS, "our host's name"),
    (Stage.RCPT, 554, "5.7.1 Client host blocked using zen.spamhaus.org", MEND_FOR_THIS, "our reputation"),
    (Stage.RCPT, 550, "5.7.23 SPF fails", MEND_FOR_THIS, "RFC 7372: our DNS"),
    (Stage.RCPT, 550, "5.7.25 no reverse DNS", MEND_FOR_THIS, "RFC 7372: our DNS"),
    (Stage.RCPT, 550, "5.7.8 sign in first", MEND_FOR_THIS, "perhaps only where this recipient's mail is relayed"),
    (
        Stage.RCPT,
        530,
        "5.7.0 authentication required to relay",
        MEND_FOR_THIS,
        "one recipient must not stop all others",
    ),
    (Stage.RCPT, 550, "5.7.705 Access denied, tenant has exceeded threshold", MEND_FOR_THIS, "Microsoft: our tenant"),
    (Stage.RCPT, 550, "5.7.708 Access denied, traffic not accepted from this IP", MEND_FOR_THIS, "Microsoft: our IP"),
    (Stage.RCPT, 550, "5.7.511 Access denied, banned sender [192.0.2.1]", MEND_FOR_THIS, "Microsoft: our IP"),
    (Stage.RCPT, 550, "5.7.606 Access denied, banned sending IP", MEND_FOR_THIS, "Microsoft: our IP"),
    (
        Stage.RCPT,
        550,
        "5.7.232 Your tenant has exceeded its external recipients",
        MEND_FOR_THIS,
        "Microsoft: our tenant",
    ),
    (
        Stage.RCPT,
        550,
        "5.4.5 Daily user sending limit exceeded",
        MEND_FOR_THIS,
        "Gmail: a day is longer than our attempts",
    ),
    (
        Stage.RCPT,
        550,
        "Domain x has exceeded the max defers and failures per hour",
        MEND_FOR_THIS,
        "cPanel: our domain",
    ),
    (Stage.RCPT, 550, "Too many invalid recipients", MEND_FOR_THIS, "our list of readers, not this one"),
    (Stage.RCPT, 550, "5.1.1 Too many invalid recipients", MEND_FOR_THIS, "the same, whatever the code says"),
    (Stage.RCPT, 550, "5.1.1 Rejected: blocked using zen.spamhaus.org", MEND_FOR_THIS, "code and words disagree: ours"),
]

OF_THE_CONTENT: list[Row] = [
    (Stage.DATA, 421, "4.3.2 shutting down", WAIT, "not accepted: the server says so"),
    (Stage.DATA, 451, "4.7.1 try later", WAIT, "4xx"),
    (Stage.DATA, 452, "4.2.2 over quota", WAIT, "4xx"),
    (Stage.DATA, 554, "5.2.2 over quota", WAIT, "full, found late"),
    (Stage.DATA, 552, "storage exceeded", WAIT, "full, without a code"),
    (Stage.DATA, 552, "5.3.4 too big", GIVE_UP, "and so it stays"),
    (Stage.DATA, 552, "maximum size", GIVE_UP, "too big, without a code"),
    (Stage.DATA, 554, "5.7.1 looks like spam", GIVE_UP, "this content, for this recipient"),
    (Stage.DATA, 554, "5.6.0 cannot be converted", GIVE_UP, "this content"),
    (Stage.DATA, 550, "spam", GIVE_UP, "after RCPT was taken, 550 alone is no bounce"),
    (Stage.DATA, 550, "5.1.1 no such user after all", BOUNCE, "servers that check late"),
    (Stage.DATA, 550, "5.7.26 sender is unauthenticated, DMARC", MEND_FOR_THIS, "our DNS"),
    (Stage.DATA, 550, "5.7.28 too much mail from your address", MEND_FOR_THIS, "our rate"),
    (Stage.DATA, 550, "5.7.1 an unusual rate of unsolicited mail originating from your IP", MEND_FOR_THIS, "Gmail: us"),
    (Stage.DATA, 554, "Message rejected: Email address is not verified.", MEND_FOR_THIS, "SES: our sender"),
    (Stage.DATA, 554, "Message rejected: Sending paused for this account.", MEND_FOR_THIS, "SES: our account"),
    (Stage.DATA, 554, "5.7.9 Message not accepted for policy reasons", MEND_FOR_THIS, "Yahoo says so of one mail"),
    (Stage.DATA, 530, "authentication required", MEND_FOR_THIS, "perhaps only where this recipient's mail is relayed"),
    (Stage.DATA, 200, "what", WAIT, "no answer that we know"),
]

DIGITS_THAT_DISAGREE: list[Row] = [
    (Stage.RCPT, 450, "5.1.1 no such user", WAIT, "the code says: later"),
    (Stage.RCPT, 451, "5.7.8 sign in first", WAIT, "the code says: later"),
    (Stage.RCPT, 550, "4.2.1 mailbox disabled", WAIT, "the enhanced code says: later; a bounce needs both"),
    (Stage.DATA, 554, "4.7.1 try again", WAIT, "the enhanced code says: later"),
    (Stage.CONNECT, 554, "4.7.1 not now", MEND_SETTINGS, "no attempt is burnt either way"),
    (Stage.RCPT, 550, "2.1.1 odd", BOUNCE, "5xx is what counts"),
]

TABLE = [*BEFORE_A_MESSAGE, *OF_THE_SENDER, *OF_THE_RECIPIENT, *OF_THE_CONTENT, *DIGITS_THAT_DISAGREE]


@pytest.mark.parametrize(("stage", "code", "text", "verdict", "why"), TABLE)
def test_an_answer_asks_for(stage: Stage, code: int, text: str, verdict: Verdict, why: str) -> None:
    assert judge(stage, code, text) == verdict, why


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("hundred", [400, 500])
def test_every_code_has_one_answer(stage: Stage, hundred: int) -> None:
    for code in range(hundred, hundred + 100):
        for text in ("", "5.9.9 unheard of", "4.1.1 odd", "5.1.1 odd", "words"):
            verdict = judge(stage, code, text)

            assert verdict.kind != ErrorKind.OURS
            assert not (verdict.bounced and verdict.kind != ErrorKind.PERMANENT)
            assert not (verdict.bounced and verdict.whole_kind)
            assert not (code < 500 and verdict.kind == ErrorKind.PERMANENT)


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.HELLO, Stage.STARTTLS, Stage.AUTH])
def test_before_a_message_no_message_can_be_to_blame(stage: Stage) -> None:
    for code in (-1, 0, 354, *range(400, 600)):
        for text in ("", "5.1.1 no such user", "5.3.4 too big", "mailbox full"):
            assert judge(stage, code, text).whole_kind


def test_a_long_answer_of_any_bytes_takes_no_time() -> None:
    for text in ("relay" + " " * 2000, "sender " * 300, "mailbox " * 250, "\n" * 2000, "5." * 1000):
        assert judge(Stage.RCPT, 554, text).kind in set(ErrorKind)
