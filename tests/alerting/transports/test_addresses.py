"""Which addresses users may have us post to."""

from __future__ import annotations

import threading
import time
from ipaddress import ip_network

import pytest

from alerting.transports.addresses import (
    AddressRefused,
    Guard,
    Target,
    answers_within,
    is_public,
    reached_address,
    target_of,
)

ANYTHING_PUBLIC = Guard()
OURS = Guard((ip_network("10.20.0.0/16"), ip_network("fd00:20::/32")))
SLACK_ONLY = Guard(hosts=("hooks.slack.com", "hooks.slack-gov.com"))


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
        *("172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7"),
        *("203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12::1", "ff02::1"),
        *("2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "100::1", "5f00::1", "64:ff9b:1::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_what_is_not_public_is_told(text: str) -> None:
    assert not is_public(reached_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1", "172.32.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"),
        *("::ffff:1.1.1.1", "64:ff9b::1.1.1.1"),
    ],
)
def test_what_is_public_is_told(text: str) -> None:
    assert is_public(reached_address(text))


@pytest.mark.parametrize(
    "url",
    [
        *("", "hook", "ftp://host/x", "file:///etc/passwd", "https://", "https:///x", "//host/x"),
        *("https://user:pass@host/x", "https://host:0/x", "https://host:99999/x", "https://host:x/"),
        *("https://ho st/x", "https://host/\r\nX: y", "https://host/\x00", "https://hôst/", "https://[::1/x"),
        *("https://host\\@evil.example/", "https://[fe80::1%25eth0]/x", "https://a%2eb/"),
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        target_of(url)


def test_a_url_is_taken_apart() -> None:
    assert target_of("https://Hooks.Example/a/b?c=d#e") == Target("https", "hooks.example", 443, "/a/b?c=d")
    assert target_of("http://[fd00:20::1]:8080") == Target("http", "fd00:20::1", 8080, "/")


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://h.example/", "h.example"),
        ("https://h.example:8443/", "h.example:8443"),
        ("https://h.example:80/", "h.example:80"),
        ("http://[::1]/", "[::1]"),
    ],
)
def test_the_host_header_names_the_port_where_it_is_not_the_usual(url: str, header: str) -> None:
    assert target_of(url).host_header == header


def test_one_bad_answer_among_good_ones_refuses_all() -> None:
    with pytest.raises(AddressRefused, match="not a public address"):
        ANYTHING_PUBLIC.addresses(target_of("https://h.example/"), ["1.1.1.1", "127.0.0.1"])


def test_no_answer_is_refused() -> None:
    with pytest.raises(AddressRefused, match="no address"):
        ANYTHING_PUBLIC.addresses(target_of("https://h.example/"), [])


def test_https_is_asked_for_outside_allowed_networks() -> None:
    with pytest.raises(AddressRefused, match="https"):
        OURS.addresses(target_of("http://h.example/"), ["1.1.1.1"])

    assert OURS.addresses(target_of("http://h.example/"), ["10.20.1.1"]) == ["10.20.1.1"]


@pytest.mark.parametrize("address", ["10.20.0.1", "fd00:20::5", "::ffff:10.20.0.1"])
def test_an_allowed_network_may_be_reached(address: str) -> None:
    assert OURS.addresses(target_of("http://h.internal/"), [address])


@pytest.mark.parametrize("address", ["10.21.0.1", "fd00:21::5", "::ffff:10.21.0.1", "127.0.0.1"])
def test_a_neighbour_of_an_allowed_network_may_not(address: str) -> None:
    with pytest.raises(AddressRefused):
        OURS.addresses(target_of("https://h.internal/"), [address])


@pytest.mark.parametrize(
    "url", ["https://hooks.slack.com.evil.example/x", "https://evil.example/", "https://hooks.slack.com:8443/"]
)
def test_only_the_hosts_of_slack_are_slack(url: str) -> None:
    with pytest.raises(AddressRefused, match=r"must begin with https://hooks\.slack\.com/"):
        SLACK_ONLY.addresses(target_of(url), ["1.1.1.1"])


def test_the_hosts_of_slack_may_be_reached() -> None:
    for host in SLACK_ONLY.hosts:
        assert SLACK_ONLY.addresses(target_of(f"https://{host}/services/T/B/x"), ["1.1.1.1"])


def test_a_look_up_that_hangs_ends_in_time() -> None:
    ended = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        ended.wait(30)
        return ["1.1.1.1"]

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        answers_within(slow, "h.example", 443, seconds=0.1)

    assert time.monotonic() - began < 10
    ended.set()
