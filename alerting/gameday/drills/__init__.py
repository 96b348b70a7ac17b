"""All drills, in the order in which they are played: by name."""

from __future__ import annotations

from alerting.gameday.drill import Drill
from alerting.gameday.drills import mail, rows

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
        rows.older_than_48_hours,
    )
}
