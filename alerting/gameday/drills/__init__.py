"""All drills, in the order in which they are played: by name."""

from __future__ import annotations

from alerting.gameday.drill import Drill
from alerting.gameday.drills import rows

DRILLS: dict[str, Drill] = {
    one.name: one
    for one in (
        rows.profile_query,
        rows.deleted_user,
        rows.nil_vessel,
        rows.template_in_one_rule,
        rows.template_in_all,
        rows.older_than_48_hours,
    )
}
