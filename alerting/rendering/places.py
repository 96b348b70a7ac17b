"""Places, distances and speeds in a seafarer's words."""

from __future__ import annotations

_HUNDREDTHS = 6000  # of a minute of arc, in a degree


def position_in_words(lon: float, lat: float) -> str:
    """ "36° 50.12′ S, 174° 47.00′ E": degrees and minutes to a hundredth (about 18 m)."""
    if not -180 <= lon <= 180:  # areas and some sources count 0…360
        lon = (lon + 180) % 360 - 180
    return f"{_angle(lat, 'N', 'S')}, {_angle(lon, 'E', 'W')}"


def distance_in_words(nautical_miles: float) -> str:
    """ "4.2 nmi"; from 100 on without a decimal."""
    return f"{nautical_miles:.1f} nmi" if nautical_miles < 99.95 else f"{nautical_miles:.0f} nmi"


def speed_in_words(knots: float) -> str:
    """ "12.3 kn": a tenth is what AIS carries."""
    return f"{knots:.1f} kn"


def course_in_words(degrees: float) -> str:
    """ "087°": three digits, as courses are said; north is 000°."""
    return f"{round(degrees) % 360:03}°"


def _angle(degrees: float, positive: str, negative: str) -> str:
    # Rounded as a whole number of hundredths first: rounding the minutes alone would print 60.00′.
    whole, rest = divmod(round(abs(degrees) * _HUNDREDTHS), _HUNDREDTHS)
    hemisphere = negative if degrees < 0 and (whole or rest) else positive
    return f"{whole}° {rest // 100:02}.{rest % 100:02}′ {hemisphere}"
