"""`python -m tests.reference --areas FILE [--missing NAME=SECONDS]… SOURCE…`: the events as JSON lines.

The areas' file is `{name: GeoJSON geometry}` or a FeatureCollection (`--name-property`; equal names are one).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.reference.areas import Geometry
from tests.reference.evaluate import evaluate
from tests.reference.reports import parse_source, read_sources


def read_areas(path: Path, name_property: str = "name") -> dict[str, Geometry]:
    """The areas of a GeoJSON FeatureCollection, or of a plain mapping from names to geometries."""
    document = json.loads(path.read_text())
    if document.get("type") != "FeatureCollection":
        return dict(document)
    named: dict[str, list[Geometry]] = defaultdict(list)
    for feature in document["features"]:
        named[str(feature["properties"][name_property])].append(feature["geometry"])
    return {name: {"type": "GeometryCollection", "geometries": parts} for name, parts in named.items()}


def read_durations(texts: Sequence[str]) -> dict[str, list[timedelta]]:
    durations: dict[str, list[timedelta]] = defaultdict(list)
    for text in texts:
        name, _, seconds = text.rpartition("=")
        durations[name].append(timedelta(seconds=float(seconds)))
    return durations


def as_json(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"not JSON: {value!r}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.reference", description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--areas", type=Path, required=True)
    parser.add_argument("--name-property", default="name")
    parser.add_argument("--missing", action="append", default=[], metavar="NAME=SECONDS")
    parser.add_argument("--silent-after", type=float, default=600.0, metavar="SECONDS")
    options = parser.parse_args()
    events = evaluate(
        read_sources([parse_source(text) for text in options.sources]),
        read_areas(options.areas, options.name_property),
        read_durations(options.missing),
        timedelta(seconds=options.silent_after),
    )
    for event in events:
        sys.stdout.write(json.dumps(event, default=as_json) + "\n")


if __name__ == "__main__":
    main()
