"""The signed return address of each mail."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.bounces.addresses import message_of, return_address

BOX = "bounces@watch.example"


def test_a_return_address_names_its_message() -> None:
    address = return_address(1234567, box=BOX)

    assert address.startswith("bounces+1234567.")
    assert address.endswith("@watch.example")
    assert message_of(address, box=BOX) == 1234567


def test_it_fits_a_local_part() -> None:
    local = return_address(10**18 - 1, box=f"{'b' * 24}@watch.example").partition("@")[0]

    assert len(local) <= 64


@pytest.mark.parametrize("change", [str.upper, lambda text: f"<{text}>", lambda text: f" {text}\n"])
def test_servers_may_change_its_case_and_brackets(change: Any) -> None:
    assert message_of(change(return_address(7, box=BOX)), box=BOX) == 7


def test_another_message_s_signature_is_refused() -> None:
    signature = return_address(7, box=BOX).partition(".")[2]

    assert message_of(f"bounces+8.{signature}", box=BOX) is None


@pytest.mark.parametrize(
    "address",
    [
        *("", "bounces@watch.example", "bounces+7@watch.example", "bounces+7.aaaaaaaaaaaaaaaa@watch.example"),
        *("bounces+x.aaaaaaaaaaaaaaaa@watch.example", "ana@moana.example", "@", "bounces+7."),
    ],
)
def test_any_other_address_names_nothing(address: str) -> None:
    assert message_of(address, box=BOX) is None


def test_another_host_or_box_names_nothing() -> None:
    address = return_address(7, box=BOX)

    assert message_of(address, box="bounces@other.example") is None
    assert message_of(address, box="returns@watch.example") is None
    assert message_of(address.removeprefix("bounces+"), box=BOX) is None


def test_without_a_box_there_is_no_return_address() -> None:
    assert return_address(7, box="") == ""
    assert message_of("bounces+7.aaaaaaaaaaaaaaaa@watch.example", box="") is None


def test_a_former_key_still_counts_and_another_does_not(settings: Any) -> None:
    address = return_address(7, box=BOX)

    former, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-another-key-another-key"
    assert message_of(address, box=BOX) is None
    settings.SECRET_KEY_FALLBACKS = [former]

    assert message_of(address, box=BOX) == 7
