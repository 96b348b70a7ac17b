"""What is shown of a drill."""

from __future__ import annotations

from alerting.gameday.verdict import Promise, Verdict, cells, table, verdict_from_json

KEPT = Promise("none is lost", True)
BROKEN = Promise("none is repeated", False, "3")


def test_one_broken_promise_breaks_the_drill() -> None:
    verdict = Verdict(drill="smtp-hangs", broke="it hangs", promises=[KEPT, BROKEN])

    assert not verdict.kept
    assert verdict.broken == [BROKEN]
    assert cells(verdict)[-1] == "BROKEN: none is repeated"


def test_a_drill_that_checked_nothing_has_kept_nothing() -> None:
    verdict = Verdict(drill="smtp-hangs", broke="it hangs")

    assert not verdict.kept
    assert cells(verdict)[-1] == "BROKEN: it checked nothing"


def test_a_drill_that_cannot_be_played_here_says_why() -> None:
    verdict = Verdict(drill="worker-out-of-memory", broke="memory", skipped="no control group")

    assert not verdict.kept
    assert not verdict.failed
    assert cells(verdict) == ("worker-out-of-memory", "memory", "–", "–", "–", "–", "skipped: no control group")


def test_the_table_has_its_columns_under_each_other() -> None:
    verdict = Verdict(
        drill="flood", broke="a flood", promises=[KEPT], others=5, others_delivered=4, lost=1, slack_seconds=2.34
    )

    head, row = table([verdict]).splitlines()

    assert row[head.index("others") :].startswith("4 of 5")
    assert row[head.index("Slack") :].startswith("2.3 s")
    assert row.endswith("kept")


def test_a_verdict_survives_its_way_between_processes() -> None:
    verdict = Verdict(drill="flood", broke="a flood", promises=[KEPT, BROKEN], repeated=3)

    assert verdict_from_json(verdict.as_json()) == verdict
