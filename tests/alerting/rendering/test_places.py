"""Positions, distances and speeds in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerting.rendering.places import course_in_words, distance_in_words, position_in_words, speed_in_words

POSITION = re.compile(r"(\d{1,2})° (\d\d\.\d\d)′ ([NS]), (\d{1,3})° (\d\d\.\d\d)′ ([EW])")


@pytest.mark.parametrize(
    ("lon", "lat", "expected"),
    [
        (174.7833333, -36.8353333, "36° 50.12′ S, 174° 47.00′ E"),
        (0.0, 0.0, "0° 00.00′ N, 0° 00.00′ E"),
        (-0.00000001, -0.00000001, "0° 00.00′ N, 0° 00.00′ E"),
        (-0.001, -0.001, "0° 00.06′ S, 0° 00.06′ W"),
        (12.9999999, 55.9999999, "56° 00.00′ N, 13° 00.00′ E"),
        (-179.9999999, 89.9999999, "90° 00.00′ N, 180° 00.00′ W"),
        (180.0, -90.0, "90° 00.00′ S, 180° 00.00′ E"),
        (185.5, -36.5, "36° 30.00′ S, 174° 30.00′ W"),
    ],
)
def test_a_position_is_written_in_degrees_and_minutes(lon: float, lat: float, expected: str) -> None:
    assert position_in_words(lon, lat) == expected


@given(st.floats(-180, 180), st.floats(-90, 90))
@example(-179.99999999, 59.99999999)
def test_a_position_reads_back_to_where_it_was_and_never_says_sixty_minutes(lon: float, lat: float) -> None:
    found = POSITION.fullmatch(position_in_words(lon, lat))

    assert found is not None
    for degrees, minutes, hemisphere, true in ((*found.groups()[:3], lat), (*found.groups()[3:], lon)):
        assert float(minutes) < 60
        read = (int(degrees) + float(minutes) / 60) * (-1 if hemisphere in "SW" else 1)
        assert abs(read - true) <= 0.5001 / 6000


@pytest.mark.parametrize(
    ("miles", "expected"), [(0, "0.0 nmi"), (4.23, "4.2 nmi"), (99.96, "100 nmi"), (399.6, "400 nmi")]
)
def test_a_distance_is_in_nautical_miles(miles: float, expected: str) -> None:
    assert distance_in_words(miles) == expected


def test_a_speed_is_in_knots_and_a_course_has_three_digits() -> None:
    assert speed_in_words(12.34) == "12.3 kn"
    assert [course_in_words(course) for course in (0.2, 87.4, 359.7)] == ["000°", "087°", "000°"]
