"""What a message is made of: plain, frozen values that the send cycle fills from rows.

Rendering knows no database. Times are aware datetimes in UTC; lengths of time are timedeltas; places are degrees.
Texts that came over the radio (`Vessel.name`, `Vessel.call_sign`) are given as they are stored: rendering cleans them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from accounts.local_time import DateFormat


class Kind(StrEnum):
    """The kinds of event; equal to the values stored on an event."""

    ENTERED = "entered"
    EXITED = "exited"
    APPEARED = "appeared"
    MISSING = "missing"
    RESUMED = "resumed"


class Severity(StrEnum):
    """How much a rule's alerts matter."""

    NORMAL = "normal"
    CRITICAL = "critical"


class DigestCadence(StrEnum):
    """The cadences that collect notifications."""

    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whom the message is for: all times in it are shown in this zone and format."""

    time_zone: str  # IANA name
    date_format: DateFormat = DateFormat.DAY_MONTH_YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Vessel:
    """The vessel as it was known; a vessel that cannot be found has only its MMSI."""

    mmsi: int
    name: str | None = None
    imo: int | None = None
    flag: str | None = None  # the country in words: "New Zealand"; None: unknown
    call_sign: str | None = None
    ship_type: str | None = None  # in words: "Cargo"
    length_m: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One event under one rule, as a realtime message or an item of a digest tells it.

    For missing: `occurred_at` is when `duration` was reached, `gap_start` when it was last heard, and the place,
    speed and status are those of its last position. For resumed: `gap` is the silence's length from last heard.
    """

    kind: Kind
    vessel: Vessel
    area: str
    rule: str
    occurred_at: datetime  # happened: the position's own time
    detected_at: datetime  # noticed
    link: str  # the notification's page, an absolute address
    received_at: datetime | None = None  # received; None: not known
    severity: Severity = Severity.NORMAL
    lon: float | None = None
    lat: float | None = None
    speed: float | None = None  # knots; None: not available
    course: float | None = None  # degrees; None: not available
    status: str | None = None  # navigational status in words
    vessel_class: str | None = None  # "A", "B"; None: unknown
    feed: str | None = None
    not_before: datetime | None = None  # time of the position before a crossing
    not_after: datetime | None = None  # time of the position after it
    duration: timedelta | None = None  # missing: the rule's duration
    gap_start: datetime | None = None  # missing, resumed: when the vessel was last heard
    gap: timedelta | None = None  # resumed
    inside: bool | None = None  # resumed: is the vessel inside the area?
    boundary_nm: float | None = None  # missing: from the last position to the area's boundary, nautical miles
    reference: str = ""  # what the caller calls it (the notification's key); comes back with a fault
    template: str | None = None  # the rule's own template; a digest uses it for this item


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The sending itself, the same for every kind of message.

    `now` is when the message leaves. It says that it is late when `now` is more than `late_after` past `due_at`.
    """

    now: datetime
    due_at: datetime
    late_after: timedelta
    unsubscribe_link: str  # absolute; "" for none (test)
    site_link: str  # the site's first page, absolute
    organisation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeFacts:
    """One alert, told at once."""

    reader: Reader
    sending: Sending
    alert: Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestFacts:
    """Everything that one window collected, in any order; at least one alert."""

    reader: Reader
    sending: Sending  # `due_at` is the window's end
    cadence: DigestCadence
    alerts: tuple[Alert, ...]
    history_link: str  # the user's list of notifications, absolute
    since: datetime | None = None  # the window's start; None: the first digest


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleAlert:
    """An alert that was not sent in time, and why."""

    alert: Alert
    due_at: datetime
    reason: str  # a plain sentence for people: "The mail server could not be reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryFacts:
    """What was not sent while sending did not work; at least one."""

    reader: Reader
    sending: Sending
    stale: tuple[StaleAlert, ...]
    stale_after: timedelta
    history_link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisabledFacts:
    """A channel that is used no more. `owner` is "" where the reader is the owner."""

    reader: Reader
    sending: Sending
    channel: str
    address: str
    reason: str
    owner: str = ""
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFacts:
    """A message that only proves that a channel works."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    reader: Reader
    sending: Sending
    channel: str  # its name or address, as the user knows it


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """An item whose own template failed and which was told by the built-in sentence instead."""

    reference: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message ready for a transport: the subject is one line, safe for a header.

    `problems` (digests) are for the caller to report: the message itself is good.
    """

    subject: str
    text: str
    html: str
    problems: tuple[TemplateProblem, ...] = ()
