"""All drills, in the order in which they are played: by name."""

from __future__ import annotations

from alerting.gameday.drill import Drill
from alerting.gameday.drills import machines, mail, rows, workers

DRILLS: dict[str, Drill] = {
    one.name: one
    for one in (
        rows.profile_query,
        rows.deleted_user,
        rows.nil_vessel,
        rows.template_in_one_rule,
        rows.template_in_all,
        mail.down,
        mail.refuses,
        mail.hangs,
        mail.hangs_after_data,
        mail.drops_after_data,
        mail.dns,
        mail.slack_down,
        machines.database_restarted,
        workers.killed,
        workers.out_of_memory,
        workers.memory_limit,
        workers.sigterm,
        workers.two_senders,
        machines.clock_jumps,
        workers.poison,
        workers.disk_full,
        machines.flood,
        rows.older_than_48_hours,
    )
}
