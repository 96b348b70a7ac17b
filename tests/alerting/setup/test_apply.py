"""Configuration as code: all or nothing, twice is once, and faults by line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import Channel, Organisation, User
from alerting.models import AlertRule, Subscription
from alerting.setup.apply import apply_document
from alerting.setup.document import SetupError, read_document
from tests.alerting.world import NOW
from vessels.models import Area, AreaUse, Feed, Watchlist

pytestmark = pytest.mark.django_db

CONTRACT = Path(__file__).parents[4] / "shared" / "examples" / "setup.yaml"
BASE = """
organisations:
  - {slug: moana, name: Moana, time_zone: Pacific/Auckland}
users:
  - email: Ana@Moana.example
    organisation: moana
    password: correct-horse
    channels: [{name: mail, kind: email, address: ana@moana.example, verified: true}]
areas:
  - name: Sound
    organisation: moana
    geometry: {type: Polygon, coordinates: [[[12, 55], [13, 55], [13, 56], [12, 56], [12, 55]]]}
rules:
  - name: Enters
    organisation: moana
    when: entered
    areas: [Sound]
    vessels: {flags: [NO, DK]}
subscriptions:
  - {user: ana@moana.example, rule: Enters, cadence: daily, at: "07:30", channels: [mail]}
"""


def apply(tmp_path: Path, text: str, *, dry_run: bool = False) -> list[str]:
    path = tmp_path / "setup.yaml"
    path.write_text(text, encoding="utf-8")
    return [str(change) for change in apply_document(read_document(path), now=NOW, dry_run=dry_run)]


def fault(tmp_path: Path, text: str) -> str:
    with pytest.raises(SetupError) as caught:
        apply(tmp_path, text)
    return str(caught.value).replace(str(tmp_path), "")


def test_a_file_is_applied_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    first = apply(tmp_path, BASE)
    second = apply(tmp_path, BASE)

    assert "+ rule Enters" in first
    assert second == []
    rule = AlertRule.objects.get()
    assert (rule.flags, rule.kinds, rule.version) == (["NO", "DK"], ["entered"], 1)
    assert User.objects.get().time_zone == "Pacific/Auckland"
    assert str(Subscription.objects.get().at) == "07:30:00"
    assert AreaUse.objects.get().area.name == "Sound"


def test_a_dry_run_tells_the_same_and_changes_nothing(tmp_path: Path) -> None:
    told = apply(tmp_path, BASE, dry_run=True)

    assert not Organisation.objects.exists()
    assert told == apply(tmp_path, BASE)


def test_a_change_names_its_fields_and_makes_a_version(tmp_path: Path) -> None:
    apply(tmp_path, BASE)

    told = apply(tmp_path, BASE.replace("when: entered", "when: [entered, exited]\n    severity: critical"))

    assert told == ["~ rule Enters: kinds, severity"]
    assert AlertRule.objects.get().version == 2


def test_a_changed_geometry_makes_a_version_of_the_area(tmp_path: Path) -> None:
    apply(tmp_path, BASE)

    told = apply(tmp_path, BASE.replace("[13, 55], [13, 56]", "[14, 55], [14, 56]"))

    assert told == ["~ area Sound: geometry"]
    assert [version.number for version in Area.objects.get().versions.order_by("number")] == [1, 2]


def test_a_password_that_its_user_changed_is_left_alone(tmp_path: Path) -> None:
    apply(tmp_path, BASE)
    user = User.objects.get()
    user.set_password("my own words")
    user.save()

    assert apply(tmp_path, BASE) == []
    assert User.objects.get().check_password("my own words")


def test_a_moved_channel_must_be_verified_again_unless_the_file_vouches_for_it(tmp_path: Path) -> None:
    apply(tmp_path, BASE)

    apply(tmp_path, BASE.replace("address: ana@moana.example, verified: true", "address: new@moana.example"))

    assert Channel.objects.get().verified_at is None


def test_a_fault_names_line_and_field_and_nothing_is_changed(tmp_path: Path) -> None:
    text = fault(tmp_path, BASE.replace("areas: [Sound]", "areas: [Sund]"))

    assert text == "/setup.yaml:17: rules[1].areas[1]: there is no area 'Sund'"
    assert not Organisation.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("when: entered", "when: arrived", ":16: rules[1].when: "),
        ("flags: [NO, DK]", "flags: [Norway]", ":18: rules[1].vessels.flags[1]: "),
        ("{flags: [NO, DK]}", "{}", ":18: rules[1].vessels: "),
        ("    areas: [Sound]", "    aeras: [Sound]", ":17: rules[1].aeras: is not a known field"),
        ('at: "07:30"', 'at: "25:30"', ':20: subscriptions[1].at: write a time of day in quotes, such as "07:30"'),
        ("cadence: daily", "cadence: weekly", ":20: subscriptions[1]: weekly needs a weekday, such as monday"),
        ("channels: [mail]}", "channels: [post]}", ":20: subscriptions[1].channels[1]: ana@moana.example has"),
        ("Pacific/Auckland", "Pacific/Auckand", ":3: organisations[1].time_zone: 'Pacific/Auckand' is not an IANA"),
        ("[13, 56]", "[12, 54]", ":12: areas[1].geometry: Sound: "),
        ("organisation: moana\n    password", "organisation: mona\n    password", ":6: users[1].organisation: "),
        ("when: entered", "when: missing", ":14: rules[1]"),
        ("vessels: {flags: [NO, DK]}", "vessels: all\n    when_: x", ":19: rules[1].when_: is not a known field"),
        ("slug: moana, name", "slug: [moana, name", ": not YAML: "),
    ],
)  # fmt: skip
def test_each_fault_is_told_where_it_is(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in BASE

    assert said in fault(tmp_path, BASE.replace(old, new))


def test_missing_of_all_vessels_must_accept_the_noise(tmp_path: Path) -> None:
    text = BASE.replace("when: entered", "when: missing\n    missing_for: 6h").replace("{flags: [NO, DK]}", "all")

    assert "accept_noise" in fault(tmp_path, text)
    assert "+ rule Enters" in apply(
        tmp_path, text.replace("missing_for: 6h", "missing_for: 6h\n    accept_noise: true")
    )


def test_a_file_of_areas_gives_one_area_for_each_name_with_repeated_names_merged(tmp_path: Path) -> None:
    (tmp_path / "zones.geojson").write_text(
        """{"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"code": "KI"}, "geometry":
          {"type": "Polygon", "coordinates": [[[170,0],[175,0],[175,5],[170,5],[170,0]]]}},
        {"type": "Feature", "properties": {"code": "KI"}, "geometry":
          {"type": "Polygon", "coordinates": [[[185,0],[190,0],[190,5],[185,5],[185,0]]]}},
        {"type": "Feature", "properties": {"code": "TV"}, "geometry":
          {"type": "Polygon", "coordinates": [[[178,-8],[182,-8],[182,-4],[178,-4],[178,-8]]]}}]}"""
    )
    text = "organisations: [{slug: m, name: M}]\nareas:\n"
    text += "  - {organisation: m, file: zones.geojson, name_property: code, name_prefix: 'EEZ '}\n"

    told = apply(tmp_path, text)

    assert told[1:] == ["+ area EEZ KI", "+ area EEZ TV"]
    kiribati = Area.objects.get(name="EEZ KI")
    assert len(kiribati.geometry["coordinates"]) == 2
    assert apply(tmp_path, text) == []


@pytest.mark.skipif(not CONTRACT.is_file(), reason="../shared/examples/setup.yaml is not here")
def test_the_contract_applies_as_it_stands() -> None:
    document = read_document(CONTRACT)

    apply_document(document, now=NOW)

    assert apply_document(document, now=NOW) == []
    assert Area.objects.filter(name__startswith="EEZ ").count() == 22
    assert AlertRule.objects.count() == Subscription.objects.count() == 3
    assert [entry.name for entry in Watchlist.objects.get().entries.all()] == ["AURORA", ""]
    assert Feed.objects.get().active is False


@pytest.mark.parametrize(
    ("before", "row", "said"),
    [
        (
            "areas:",
            "{email: ANA@moana.EXAMPLE, organisation: moana}",
            ":9: users[2]: ana@moana.example stands at line 5",
        ),
        (
            "subscriptions:",
            "{name: Enters, organisation: moana, when: exited, areas: [Sound], vessels: all}",
            ":19: rules[2]: Enters stands at line 14",
        ),
        (
            "",
            "{user: ANA@moana.example, rule: Enters, cadence: daily, channels: [mail]}",
            ":21: subscriptions[2]: daily of Enters for ANA@moana.example stands at line 20",
        ),
    ],
)
def test_what_stands_twice_is_refused_with_both_lines(tmp_path: Path, before: str, row: str, said: str) -> None:
    text = BASE.replace(f"\n{before}\n", f"\n  - {row}\n{before}\n", 1) if before else f"{BASE}  - {row}\n"

    told = fault(tmp_path, text)

    assert f"{said} already; each may stand once" in told


@pytest.mark.parametrize("length", ["99999999999d", "999999999d", "4000d"])
def test_a_duration_beyond_all_measure_is_refused_by_line_and_field(tmp_path: Path, length: str) -> None:
    told = fault(tmp_path, f"feeds:\n  - {{name: f, source: 'nmea+tcp://127.0.0.1:1', silent_after: {length}}}\n")

    assert ":2: feeds[1].silent_after: " in told
