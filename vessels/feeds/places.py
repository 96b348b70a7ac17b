"""Whether a longitude and latitude are a place at all."""

from __future__ import annotations

from vessels.feeds import rejections


def fault_of_place(lon: float, lat: float) -> str | None:
    """The kind of rejection, or None for a place. EVENTS: 91, 181 and the Danish `91,0` mean *not available*."""
    if lat == 91 or lon == 181:
        return rejections.NO_POSITION
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        return rejections.BAD_POSITION
    if lon == 0 and lat == 0:
        return rejections.NULL_ISLAND
    return None
