"""How the admin writes times: 24 hours, with the zone in force. Pages and messages follow the user's own format."""

from __future__ import annotations

DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i:s T"
DATE_FORMAT = SHORT_DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i"
