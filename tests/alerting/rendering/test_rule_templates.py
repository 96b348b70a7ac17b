"""A rule's own template: what it may do, and how it fails."""

from __future__ import annotations

import pytest

from alerting.rendering import TemplateFault, render_realtime, validate_template
from alerting.rendering.details import template_values
from alerting.rendering.facts import Vessel
from alerting.rendering.rule_templates import VARIABLES, write
from tests.alerting.rendering.samples import AUCKLAND, alert, missing, realtime


def test_the_documented_variables_are_exactly_those_that_have_values() -> None:
    assert set(template_values(missing(), AUCKLAND)) == set(VARIABLES)


def test_a_template_replaces_the_sentence_and_may_give_the_subject() -> None:
    source = "Subject: {{ vessel|upper }} is in\nCall the harbour master.\n{{ sentence }}."

    rendered = render_realtime(realtime(), template=source)

    assert rendered.subject == "ENDEAVOUR is in"
    assert rendered.text.startswith("Call the harbour master.\nVessel Endeavour has entered area ")
    assert "Call the harbour master." in rendered.html


@pytest.mark.parametrize("source", [None, "", "  \n"])
def test_without_a_template_the_built_in_sentence_is_used(source: str | None) -> None:
    assert render_realtime(realtime(), template=source).text.startswith("Vessel Endeavour has entered area ")


def test_conditions_and_filters_work() -> None:
    source = "{% if imo %}IMO {{ imo }}{% else %}no IMO{% endif %}{# unseen #}, {{ flag|default:'no flag' }}"

    assert write(source, template_values(alert(), AUCKLAND)).body == "IMO 9007128, New Zealand"
    nobody = alert(vessel=Vessel(mmsi=512345678))
    assert write(source, template_values(nobody, AUCKLAND)).body == "no IMO, no flag"


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("a\nb\n{% if vessel %}", 3, "Unclosed tag"),
        ("a\n{{ vessel", None, ""),  # Django takes it as text
        ("a\n{% endif %}", 2, "Invalid block tag"),
        ("a\n{{ captain }}", 2, "'captain' is not a variable"),
        ("{{ vessel.name }}", 1, "'vessel.name' is not a variable"),
        ("{{ vessel.format }}", 1, "is not a variable"),
        ("{{ vessel|default:captain }}", 1, "'captain' is not a variable"),
        ("\n\n{% if captain %}x{% endif %}", 3, "'captain' is not a variable"),
        ("{{ vessel|ljust:'99999999' }}", 1, "Invalid filter"),
        ("{{ vessel|safe }}", 1, "Invalid filter"),
        ("{% load static %}", 1, "Invalid block tag"),
        ("{% include 'x' %}", 1, "Invalid block tag"),
        ("{% extends 'x' %}", 1, "Invalid block tag"),
        ("{% debug %}", 1, "Invalid block tag"),
        ("{% url 'admin:index' %}", 1, "Invalid block tag"),
        ("{% csrf_token %}", 1, "Invalid block tag"),
        ("{% for a in vessel %}{% endfor %}", 1, "Invalid block tag"),
        ("x" * 4001, None, "4001 characters"),
    ],
)
def test_a_wrong_template_is_refused_with_its_line(source: str, line: int | None, says: str) -> None:
    if not says:
        validate_template(source)
        return

    with pytest.raises(TemplateFault, match=says) as caught:
        validate_template(source)

    assert caught.value.line == line


def test_a_broken_template_raises_with_its_traceback_and_the_built_in_still_works() -> None:
    with pytest.raises(TemplateFault) as caught:
        render_realtime(realtime(), template="{% if %}")

    assert "TemplateSyntaxError" in caught.value.traceback
    assert "has entered area" in render_realtime(realtime(), template=None).text


def test_a_template_that_makes_nothing_is_a_fault() -> None:
    with pytest.raises(TemplateFault, match="empty"):
        render_realtime(realtime(), template="{% if gap %}silent{% endif %}")


def test_a_name_in_template_syntax_stays_a_name() -> None:
    told = alert(vessel=Vessel(mmsi=512345678, name="{{ rule }}{% debug %}"))

    rendered = render_realtime(realtime(told), template="{{ vessel }}")

    assert rendered.text.startswith("{{ rule }}{% debug %}\n")


def test_a_name_cannot_give_the_subject() -> None:
    told = alert(vessel=Vessel(mmsi=512345678, name="Subject: X\r\nSubject: pay"))

    rendered = render_realtime(realtime(told), template="Seen: {{ vessel }}")

    assert rendered.subject == "Subject: X Subject: pay entered New Zealand 400 nmi"
    assert rendered.text.startswith("Seen: Subject: X Subject: pay\n")


def test_a_templates_subject_that_nobody_can_see_is_none() -> None:
    rendered = render_realtime(realtime(), template="Subject: \u200b\nBody")

    assert rendered.subject == render_realtime(realtime()).subject
    assert rendered.text.startswith("Body\n")


def test_a_templates_subject_is_one_bounded_line() -> None:
    rendered = render_realtime(realtime(), template="Subject: " + "a\u202eb\x07c" * 200 + "\nBody")

    assert rendered.subject.startswith("ab cab c")
    assert len(rendered.subject) <= 150
