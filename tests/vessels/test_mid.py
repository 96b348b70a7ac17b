"""Flags and kinds of stations from MMSIs."""

from __future__ import annotations

import pytest

from vessels.mid import COUNTRY_OF_MID, NAME_OF_COUNTRY, country_name, flag_of, station_kind


@pytest.mark.parametrize(
    ("mmsi", "flag"),
    [
        (219000001, "DK"),
        (257123456, "NO"),
        (512123456, "NZ"),
        (636012345, "LR"),
        (538001234, "MH"),
        (372123456, "PA"),
        (366123456, "US"),
        (982191234, "DK"),  # auxiliary craft
        (21912345, "DK"),  # 0 + MID: a group of ships
        (821912345, "DK"),  # 8 + MID: a hand-held radio
        (2190067, "DK"),  # 00 + MID: a coast station
        (111219501, "DK"),  # 111 + MID: a SAR aircraft
        (992191234, "DK"),  # 99 + MID: an aid to navigation
        (200123456, None),
        (123456789, None),
        (256, None),  # a file's own ship number
        (0, None),
        (1_072_211_352, None),
    ],
)
def test_the_country_digits_give_the_flag(mmsi: int, flag: str | None) -> None:
    assert flag_of(mmsi) == flag


@pytest.mark.parametrize(
    ("mmsi", "kind"),
    [
        (2190067, "coast_station"),
        (111219501, "sar_aircraft"),
        (970123456, "sart"),
        (972123456, "man_overboard"),
        (974123456, "epirb"),
        (979123456, "locating_device"),
        (992191234, "aid_to_navigation"),
        (982191234, None),
        (219000001, None),
        (21912345, None),
        (971123456, None),
        (1_072_211_352, None),
    ],
)
def test_only_the_named_prefixes_are_not_vessels(mmsi: int, kind: str | None) -> None:
    assert station_kind(mmsi) == kind


def test_every_country_has_a_name() -> None:
    assert set(COUNTRY_OF_MID.values()) == set(NAME_OF_COUNTRY)
    assert country_name("NZ") == "New Zealand"
    assert country_name("XX") is None


def test_the_digits_lie_in_the_tables_range() -> None:
    assert min(COUNTRY_OF_MID) >= 201
    assert max(COUNTRY_OF_MID) <= 775
