"""Where journals lie: each database has a folder of its own, also beside one of the same name on another server."""

from __future__ import annotations

import pytest
from django.db import connection

from alerting.workers import journals
from alerting.workers.journals import journals_folder


@pytest.mark.django_db
def test_databases_of_one_name_on_two_servers_share_no_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    here = journals_folder()
    monkeypatch.setattr(journals, "_server", lambda: 7)
    there = journals_folder()

    with connection.cursor() as cursor:
        cursor.execute("SELECT system_identifier FROM pg_control_system()")
        assert here.name == f"{connection.settings_dict['NAME']}@{cursor.fetchone()[0]}"
    assert (there.parent, there.name) == (here.parent, f"{connection.settings_dict['NAME']}@7")


@pytest.mark.django_db
def test_a_server_that_does_not_say_which_it_is_keeps_no_journal_from_being_kept() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE curious; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        cursor.execute("SET LOCAL ROLE curious")

    assert journals._server.__wrapped__() == 0
