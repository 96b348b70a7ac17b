"""The shape of a setup file, checked field by field. `docs/setup.schema.json` is made from here."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from accounts.local_time import DateFormat, UnknownZone, zone
from accounts.models import ChannelKind
from accounts.roles import Role
from alerting.models import Cadence, Severity, ShipType, Weekday
from vessels.models import EventKind

LONGEST = timedelta(days=3660)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def read_duration(text: object) -> object:
    """`6h`, `90m`, `1d12h`, `30s` as a duration; anything else is left for pydantic to judge."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(r"(\d{1,9}[dhms])+", text):
        raise ValueError("write a duration such as 30m, 6h or 1d12h")
    seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d{1,9})([dhms])", text))
    if seconds == 0:
        raise ValueError("a duration is longer than nothing")
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"a duration is at most {LONGEST.days} days")
    return timedelta(seconds=seconds)


def _read_zone(name: str) -> str:
    try:
        zone(name)
    except UnknownZone as fault:
        raise ValueError(str(fault)) from None
    return name


def _read_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _read_time(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('write a time of day in quotes, such as "07:30"')
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(read_duration, json_schema_input_type=str),
    PlainSerializer(lambda value: f"{int(value.total_seconds())}s"),
]
Zone = Annotated[str, BeforeValidator(_read_zone)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Mmsi = Annotated[int, Field(ge=0, le=999_999_999)]
Imo = Annotated[int, Field(ge=1_000_000, le=9_999_999)]
EMail = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]


class Part(BaseModel):
    """Every part refuses fields that it does not know: a typing error must not be a silent default."""

    model_config = ConfigDict(extra="forbid")


class OrganisationPart(Part):
    slug: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=50)]
    name: Name
    time_zone: Zone = "UTC"


class ChannelPart(Part):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: ChannelKind
    address: Annotated[str, Field(min_length=3, max_length=2000)]
    verified: bool = False


class UserPart(Part):
    email: EMail
    name: str = ""
    organisation: str
    role: Role = Role.VIEWER
    time_zone: Zone | None = None
    date_format: DateFormat | None = None
    password: Annotated[str, Field(min_length=10)] | None = None
    channels: list[ChannelPart] = []

    @field_validator("email")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()


def _not_yet(value: float) -> float:
    if value != 0:
        raise ValueError("only 0 works so far: every crossing counts")
    return value


class HysteresisPart(Part):
    metres: Annotated[float, AfterValidator(_not_yet)] = 0
    seconds: Annotated[float, AfterValidator(_not_yet)] = 0


class AreaPart(Part):
    """One area (`name`), or one for each feature of a file (`name_property`)."""

    organisation: str
    name: Name | None = None
    geometry: dict[str, Any] | None = None
    file: str | None = None
    where: dict[str, Any] = {}
    name_property: str | None = None
    name_prefix: str = ""
    hysteresis: HysteresisPart = HysteresisPart()

    @model_validator(mode="after")
    def _one_way(self) -> AreaPart:
        if (self.geometry is None) == (self.file is None):
            raise ValueError("give either geometry or file")
        if (self.name is None) == (self.name_property is None):
            raise ValueError("give either name or name_property")
        if self.geometry is not None and self.name is None:
            raise ValueError("an area with a geometry needs a name")
        return self


class WatchlistVessel(Part):
    mmsi: Mmsi
    name: Annotated[str, Field(max_length=120)] = ""
    imo: Imo | None = None


class WatchlistPart(Part):
    name: Name
    organisation: str
    vessels: list[WatchlistVessel] = []


class VesselsPart(Part):
    """Which vessels: every condition given must hold."""

    watchlist: str | None = None
    flags: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = []
    ship_types: list[ShipType] = []
    classes: list[Literal["A", "B"]] = []
    min_length_m: Annotated[float, Field(ge=0)] | None = None
    max_length_m: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _restricts(self) -> VesselsPart:
        if not self.model_fields_set:
            raise ValueError("say which vessels, or write `vessels: all`")
        return self


def _read_vessels(value: object) -> object:
    if isinstance(value, dict):
        return value
    if value != "all":
        raise ValueError("say which vessels, such as {flags: [DK]}, or write `vessels: all`")
    return None


class RulePart(Part):
    name: Name
    organisation: str
    when: Annotated[list[EventKind], BeforeValidator(_read_list), Field(min_length=1)]
    areas: Annotated[list[str], Field(min_length=1)]
    # None: all of them
    vessels: Annotated[
        VesselsPart | None, BeforeValidator(_read_vessels, json_schema_input_type=VesselsPart | Literal["all"])
    ]
    missing_for: Duration | None = None
    include_stopped: bool = False
    accept_noise: bool = False
    severity: Severity = Severity.NORMAL
    active: bool = True
    template: str = ""


class SubscriptionPart(Part):
    user: EMail
    rule: str
    cadence: Cadence = Cadence.REALTIME
    at: Annotated[time, BeforeValidator(_read_time)] | None = None
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None = None
    channels: Annotated[list[str], Field(min_length=1)]
    active: bool = True

    @model_validator(mode="after")
    def _time_fits(self) -> SubscriptionPart:
        if self.cadence == Cadence.REALTIME and (self.at or self.weekday):
            raise ValueError("realtime takes neither at nor weekday")
        if self.cadence == Cadence.WEEKLY and self.weekday is None:
            raise ValueError("weekly needs a weekday, such as monday")
        if self.cadence == Cadence.DAILY and self.weekday is not None:
            raise ValueError("daily takes no weekday")
        return self

    @property
    def weekday_number(self) -> int | None:
        return None if self.weekday is None else int(Weekday[self.weekday.upper()])


class FeedPart(Part):
    name: Annotated[str, Field(min_length=1, max_length=300)]
    source: str
    silent_after: Duration = timedelta(minutes=10)
    lateness: Duration = timedelta(minutes=10)
    active: bool = True


class Setup(Part):
    """A whole setup file. Everything is found again by its natural key, so applying twice changes nothing."""

    organisations: list[OrganisationPart] = []
    users: list[UserPart] = []
    areas: list[AreaPart] = []
    watchlists: list[WatchlistPart] = []
    rules: list[RulePart] = []
    subscriptions: list[SubscriptionPart] = []
    feeds: list[FeedPart] = []
