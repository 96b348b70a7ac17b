"""Whole messages: what is in them, in text and in HTML, and what hostile names cannot do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser

import pytest

from alerting.rendering import render_digest, render_realtime, render_summary, render_test
from alerting.rendering.facts import DigestCadence, Kind, Rendered, Severity, Vessel
from tests.alerting.rendering.samples import (
    ENDEAVOUR,
    MIDNIGHT,
    SITE,
    alert,
    channel_test,
    digest,
    everything,
    many,
    missing,
    realtime,
    resumed,
    summary,
)

HOSTILE = [
    "</td><script>alert(1)</script>",
    '"><img src=http://evil.example/x.png onerror=alert(1)>',
    "</mj-text><mj-image src='http://evil.example'/>",
    "<mj-include path='/etc/passwd'/>",
    "{{ letter.link }}{% debug %}",
    "{% endfor %}{# #}",
    "A\r\nBcc: everybody@example.org\r\n\r\nbody",
    "\u202eEVIL\u2066\x00\x1b[31m",
    "--> <!-- <![endif]",
    "&lt;b&gt; &amp; 'q' \"q\"",
    "<!channel> <@U1> *bold*",
    "half of a pair \ud83d",
    "🚢 FERRY 🏴",
    "W" * 200,
]


class _Document(HTMLParser):
    """The tags, addresses and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "background", "action"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_a_realtime_message_in_text_word_for_word() -> None:
    rendered = render_realtime(realtime())

    assert rendered.subject == "Endeavour entered New Zealand 400 nmi"
    assert rendered.text == (
        "Vessel Endeavour has entered area New Zealand 400 nmi at 01/01/2025 00:00 NZDT\n"
        "\n"
        "When\n"
        "  Last heard outside  31/12/2024 23:59:00 NZDT (UTC+13:00)\n"
        "  Happened            01/01/2025 00:00:00 NZDT (UTC+13:00)\n"
        "  Received            01/01/2025 00:00:04 NZDT (UTC+13:00)\n"
        "  Noticed             01/01/2025 00:00:05 NZDT (UTC+13:00)\n"
        "\n"
        "Where\n"
        "  Area       New Zealand 400 nmi\n"
        "  Position   36° 50.12′ S, 174° 47.00′ E\n"
        "  Speed      12.3 kn\n"
        "  Course     087°\n"
        "  Status     under way using engine\n"
        "  AIS class  A\n"
        "  Heard by   harbour receiver\n"
        "\n"
        "Vessel\n"
        "  Name       Endeavour\n"
        "  MMSI       512345678\n"
        "  IMO        9007128\n"
        "  Flag       New Zealand\n"
        "  Call sign  ZMEN\n"
        "  Type       Cargo\n"
        "  Length     88 m\n"
        "\n"
        "Rule\n"
        "  Rule      Anybody in our waters\n"
        "  Severity  normal\n"
        "\n"
        "Open this alert:\n"
        "https://watch.example/notifications/7\n"
        "\n"
        "-- \n"
        "Watchkeeper · Moana Watch\n"
        "https://watch.example\n"
        "You get this message because you subscribe to the rule “Anybody in our waters”.\n"
        "Unsubscribe: https://watch.example/unsubscribe/abc\n"
    )


def test_the_html_says_the_same_as_the_text() -> None:
    rendered = render_realtime(realtime())

    shown = _Document(rendered.html).text
    for word in (
        "Vessel Endeavour has entered area New Zealand 400 nmi at 01/01/2025 00:00 NZDT",
        "01/01/2025 00:00:04 NZDT (UTC+13:00)",
        "36° 50.12′ S, 174° 47.00′ E",
        "512345678",
        "9007128",
        "Unsubscribe",
    ):
        assert word in shown
        assert word in rendered.text
    assert f"{SITE}/unsubscribe/abc" in _Document(rendered.html).addresses
    assert f"{SITE}/notifications/7" in _Document(rendered.html).addresses


def test_an_unwitnessed_crossing_says_both_times_and_that_nobody_heard_it() -> None:
    rendered = render_realtime(realtime(alert(not_before=MIDNIGHT - timedelta(hours=5))))

    assert "last heard outside at 31/12/2024 19:00 NZDT, next heard inside at 01/01/2025 00:00 NZDT" in rendered.text
    assert "when and where it crossed is not known" in rendered.text
    assert "  Next heard inside   01/01/2025 00:00:00 NZDT (UTC+13:00)\n" in rendered.text
    assert "entered" not in rendered.text + rendered.html + rendered.subject


def test_a_missing_message_carries_the_last_position_and_accuses_nobody() -> None:
    rendered = render_realtime(realtime(missing()))

    assert "  Last heard  02/01/2025 00:00:00 NZDT (UTC+13:00)\n" in rendered.text
    assert "  Last position    36° 50.12′ S, 174° 47.00′ E\n" in rendered.text
    assert "  To the boundary  4.2 nmi\n" in rendered.text
    assert "  Last speed       12.3 kn\n" in rendered.text
    assert "may have switched off its AIS, lost it, or left the reach of the receivers" in rendered.text


def test_a_resumed_message_carries_the_gap() -> None:
    rendered = render_realtime(realtime(resumed()))

    assert "  Silent for  9 hours 15 minutes\n" in rendered.text


def test_a_vessel_that_cannot_be_found_is_told_by_its_mmsi() -> None:
    rendered = render_realtime(realtime(alert(vessel=Vessel(mmsi=512345678))))

    assert rendered.text.startswith("Vessel MMSI 512345678 has entered area New Zealand 400 nmi at ")
    assert "  Name  unknown\n  MMSI  512345678\n  IMO   unknown\n  Flag  unknown\n" in rendered.text


@pytest.mark.parametrize("lon", [None, float("nan"), float("inf")])
def test_a_position_that_is_not_known_is_said_to_be_unknown(lon: float | None) -> None:
    rendered = render_realtime(realtime(alert(lon=lon)))

    assert "  Position   unknown\n" in rendered.text


def test_a_message_says_that_it_is_late_only_beyond_the_limit() -> None:
    due = MIDNIGHT

    punctual = render_realtime(realtime(due_at=due, now=due + timedelta(minutes=15)))
    late = render_realtime(realtime(due_at=due, now=due + timedelta(minutes=90)))

    assert "late" not in punctual.text
    told = "Sent late: this message was due at 01/01/2025 00:00 NZDT (UTC+13:00) and left 90 minutes after that."
    assert told in late.text
    assert told in _Document(late.html).text


def test_critical_is_a_word_and_not_only_a_colour() -> None:
    rendered = render_realtime(realtime(alert(severity=Severity.CRITICAL)))

    assert rendered.subject == "Critical: Endeavour entered New Zealand 400 nmi"
    assert "Severity: CRITICAL" in rendered.text
    assert "CRITICAL" in _Document(rendered.html).text
    assert "CRITICAL" not in _Document(render_realtime(realtime()).html).text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    harmless = _Document(render_realtime(realtime()).html)
    hostile = alert(vessel=replace(ENDEAVOUR, name=name, call_sign=name), area=name, rule=name)

    for rendered, peer in (
        (render_realtime(realtime(hostile)), harmless),
        (render_digest(digest(hostile)), _Document(render_digest(digest(alert())).html)),
        (render_summary(summary(hostile)), _Document(render_summary(summary(alert())).html)),
    ):
        document = _Document(rendered.html)
        assert document.tags == peer.tags
        assert document.addresses == peer.addresses
        _assert_it_is_a_good_mail(rendered)


def _assert_it_is_a_good_mail(rendered: Rendered) -> None:
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = rendered.subject
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    raw = mail.as_bytes()
    headers = raw.split(b"\r\n\r\n", 1)[0].lower()
    assert b"bcc:" not in headers.replace(b"subject:", b"\n").splitlines()
    assert all(not line.startswith(b"bcc") for line in headers.splitlines())
    assert len(rendered.subject) <= 150
    assert rendered.subject.isprintable()
    for forbidden in ("\x00", "\x1b", "\u202e", "\u2066", "\r"):
        assert forbidden not in rendered.text + rendered.html


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_reads_as_itself(name: str) -> None:
    rendered = render_realtime(realtime(alert(vessel=Vessel(mmsi=512345678, name=name))))

    told = rendered.text.splitlines()[0]
    assert " ".join(told.split()) in _Document(rendered.html).text


@pytest.mark.parametrize("name", sorted(everything()))
def test_every_page_is_complete_and_asks_nothing_of_the_network(name: str) -> None:
    rendered = everything()[name]
    document = _Document(rendered.html)

    assert rendered.html.startswith("<!doctype html><html lang=")
    assert "<title>" in rendered.html
    assert '<meta name="color-scheme" content="light dark"' in rendered.html
    assert "prefers-color-scheme: dark" in rendered.html
    assert not document.tags & {"img", "script", "link", "iframe", "form", "object"}
    assert "url(" not in rendered.html
    assert "@import" not in rendered.html
    assert all(address.startswith(f"{SITE}") for address in document.addresses)
    assert "{{" not in rendered.html
    assert "{%" not in rendered.html
    assert "mj-raw" not in rendered.html


def test_details_are_a_table_for_a_screen_reader_and_layout_is_not() -> None:
    html = render_realtime(realtime()).html

    assert '<th scope="row">MMSI</th><td>512345678</td>' in html
    assert 'role="heading" aria-level="1"' in html
    tables = html.count("<table")
    assert tables - html.count('role="presentation"') <= 4  # the four tables of details


def test_a_digest_groups_by_rule_and_area_critical_first_and_by_time_within() -> None:
    rendered = render_digest(digest(*many(14)))

    assert rendered.subject == "Daily digest 01/01/2025: 14 alerts (4 critical)"
    titles = [line for line in rendered.text.splitlines() if line.count(" · ") >= 2 and not line.startswith(" ")]
    assert titles == [
        "Ferry leaves the Sound · Kermadec · 2 alerts · CRITICAL",
        "Ferry leaves the Sound · New Zealand 400 nmi · 2 alerts · CRITICAL",
        "Anybody in our waters · Kermadec · 2 alerts",
        "Anybody in our waters · New Zealand 400 nmi · 3 alerts",
        "Dark inside 400 nmi · Kermadec · 3 alerts",
        "Dark inside 400 nmi · New Zealand 400 nmi · 2 alerts",
    ]
    assert rendered.text.index("ARATERE 9 ") < rendered.text.index("ARATERE 3 ")
    assert "From 31/12/2024 00:00 NZDT (UTC+13:00) until 01/01/2025 00:00 NZDT (UTC+13:00)." in rendered.text


def test_an_item_of_a_digest_carries_place_times_and_link() -> None:
    rendered = render_digest(digest(alert()))

    assert (
        "* Vessel Endeavour has entered area New Zealand 400 nmi at 01/01/2025 00:00 NZDT\n"
        "  36° 50.12′ S, 174° 47.00′ E · MMSI 512345678 · New Zealand\n"
        "  Happened 01/01/2025 00:00 NZDT, received 00:00:04, noticed 00:00:05\n"
        "  https://watch.example/notifications/7\n"
    ) in rendered.text
    assert f"{SITE}/notifications/7" in _Document(rendered.html).addresses


def test_an_unwitnessed_crossing_in_a_digest_does_not_say_when_it_happened() -> None:
    rendered = render_digest(digest(alert(not_before=MIDNIGHT - timedelta(hours=5))))

    assert "Happened" not in rendered.text
    assert "  Next heard 01/01/2025 00:00 NZDT, received 00:00:04, noticed 00:00:05\n" in rendered.text


def test_a_weekly_digest_without_a_start_says_until_when() -> None:
    rendered = render_digest(digest(alert(), cadence=DigestCadence.WEEKLY, since=None))

    assert rendered.subject == "Weekly digest 01/01/2025: 1 alert"
    assert "Until 01/01/2025 00:00 NZDT (UTC+13:00)." in rendered.text


def test_a_digest_is_in_the_zone_of_its_reader() -> None:
    facts = digest(alert())

    rendered = render_digest(replace(facts, reader=replace(facts.reader, time_zone="America/New_York")))

    assert rendered.subject == "Daily digest 31/12/2024: 1 alert"
    assert "at 31/12/2024 06:00 EST" in rendered.text


def test_an_item_whose_template_fails_falls_back_and_is_named() -> None:
    broken = alert(template="{% if %}", reference="17")
    own = alert(template="Look: {{ vessel }}", reference="18")

    rendered = render_digest(digest(broken, own))

    assert "* Vessel Endeavour has entered area " in rendered.text
    assert "* Look: Endeavour\n" in rendered.text
    assert [problem.reference for problem in rendered.problems] == ["17"]
    assert "TemplateSyntaxError" in rendered.problems[0].traceback


def test_one_item_that_cannot_be_told_does_not_stop_the_others() -> None:
    broken = alert(gap=timedelta(seconds=-1), kind=Kind.RESUMED, reference="17")

    rendered = render_digest(digest(broken, alert()))

    assert "* Vessel MMSI 512345678: this alert cannot be shown here, please open it\n" in rendered.text
    assert "* Vessel Endeavour has entered area " in rendered.text
    assert [problem.reference for problem in rendered.problems] == ["17"]


def test_a_very_long_digest_counts_all_and_says_what_it_does_not_list() -> None:
    rendered = render_digest(digest(*many(620)))

    assert rendered.subject.startswith("Daily digest 01/01/2025: 620 alerts")
    assert rendered.text.count("\n* ") == 500
    assert "Not listed here, but counted above and kept in your history: 120 alerts." in rendered.text


def test_a_summary_says_what_was_not_sent_that_it_is_late_and_why() -> None:
    rendered = render_summary(summary(alert(), missing()))

    assert rendered.subject == "Late: 2 alerts were not sent in time"
    assert "within 2 days of when it was due" in rendered.text
    assert "Due 29/12/2024 00:00 NZDT (UTC+13:00), not sent: the mail server could not be reached" in rendered.text
    assert "* Vessel Endeavour has stopped reporting AIS within area" in rendered.text


def test_a_test_message_says_that_it_is_one() -> None:
    rendered = render_test(channel_test())

    assert rendered.subject == "Test message from Watchkeeper"
    assert rendered.text.startswith("This is a test: alerts can reach you on mail (ana@moana.example)\n")
    assert "Unsubscribe" not in rendered.text + rendered.html
