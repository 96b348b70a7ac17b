from __future__ import annotations

import sys

import pytest
from django_q.exceptions import TimeoutException
from prometheus_client import REGISTRY

from resilience import incidents
from resilience.guard import Ended, run_guarded
from resilience.reports import Report


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    made: list[Report] = []
    monkeypatch.setattr(incidents.recorder, "submit", made.append)
    return made


def counted(name: str, outcome: str) -> float:
    labels = {"name": name, "outcome": outcome}
    return REGISTRY.get_sample_value("watchkeeper_guarded_total", labels) or 0.0


def broken() -> None:
    raise LookupError("nil profile")


def test_success_gives_the_value() -> None:
    outcome = run_guarded(lambda: 7, name="seven")

    assert (outcome.succeeded, outcome.value) == (True, 7)
    assert counted("seven", "success") == 1


def test_an_expected_error_is_a_failure_and_no_incident(reports: list[Report]) -> None:
    outcome = run_guarded(broken, name="expected", expected=(LookupError,))

    assert outcome.ended is Ended.FAILURE
    assert reports == []
    assert counted("expected", "failure") == 1


def test_a_programming_error_is_a_panic_and_an_incident_with_traceback(reports: list[Report]) -> None:
    outcome = run_guarded(broken, name="cycle", panic_event="panic_in_send_cycle", details={"message": 5})

    assert outcome.ended is Ended.PANIC
    assert [report.kind for report in reports] == ["panic_in_send_cycle"]
    assert "in broken" in reports[0].traceback
    assert '"message": 5' in reports[0].sample


def test_a_handler_that_fails_is_recovered_too(reports: list[Report]) -> None:
    def on_error(error: Exception) -> None:
        raise RuntimeError("again")

    outcome = run_guarded(broken, name="x", on_error=on_error)

    assert outcome.ended is Ended.PANIC
    assert [report.kind for report in reports] == ["panic", "panic_in_error_handler"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, TimeoutException])
def test_being_told_to_stop_passes_and_is_counted(stop: type[BaseException]) -> None:
    def work() -> None:
        raise stop

    before = counted("stopped", "interrupted")
    with pytest.raises(stop):
        run_guarded(work, name="stopped")

    assert counted("stopped", "interrupted") == before + 1


def test_memory_and_recursion_errors_are_recovered(reports: list[Report]) -> None:
    def deep() -> None:
        deep()

    limit = sys.getrecursionlimit()
    outcome = run_guarded(deep, name="deep")

    assert outcome.ended is Ended.PANIC
    assert sys.getrecursionlimit() == limit
