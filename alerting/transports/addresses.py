"""Which addresses users may have us post to: a guard against requests to our own network (SSRF).

A user's URL names a host, and the host's name answers with what its owner likes, another each time. So names are
looked up once for each message, every answer is checked, and the connection is made to a checked answer and never by
name. Whatever is not public is refused, unless an operator allows its network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from alerting.transports.look_up import Resolve, answers_within, dns_answers

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# IANA IPv4 Special-Purpose Address Registry, and multicast and reserved space (RFC 5771, RFC 1112).
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# IANA IPv6 Address Space: only this is global unicast; in it, what the Special-Purpose Registry takes out.
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291, section 2.5.5.2
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is reached

_PORTS = {"https": 443, "http": 80}


class AddressRefused(ValueError):
    """The URL is none that we post to; the text says why, for its owner."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart: where to connect, and what to ask for there."""

    scheme: str
    host: str  # ASCII; without brackets
    port: int
    path: str  # with its query

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"


def target_of(url: str) -> Target:
    """Raises `AddressRefused` for what is no URL to post to, wherever it leads."""
    if not url.isascii() or not url.isprintable() or any(mark in url for mark in " \\<>\"'`{}|^"):
        raise AddressRefused("The address must be a URL of plain characters, without spaces.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise AddressRefused(f"The address is not a URL: {fault}.") from fault
    return _target(parts, port)


def _target(parts: SplitResult, port: int | None) -> Target:
    if parts.scheme not in _PORTS or not parts.hostname:
        raise AddressRefused("The address must begin with https:// and a host's name.")
    if "@" in parts.netloc:
        raise AddressRefused("The address must not hold a user name or password.")
    if port == 0 or "%" in parts.netloc:
        raise AddressRefused("The host or port of the address cannot be used.")
    path = parts.path or "/"
    return Target(
        parts.scheme, parts.hostname, port or _PORTS[parts.scheme], f"{path}?{parts.query}" if parts.query else path
    )


@dataclass(frozen=True, slots=True)
class Guard:
    """What may be reached: public addresses by https, and whatever is in an allowed network.

    `hosts`: of the public ones only these; empty for any.
    """

    allowed: tuple[IPNetwork, ...] = ()
    hosts: tuple[str, ...] = ()

    def addresses(self, target: Target, answers: Sequence[str]) -> list[str]:
        """The answers of DNS, if every one of them may be reached. Raises `AddressRefused`.

        One bad answer among good ones refuses all: who sends such answers tries to slip through.
        """
        if not answers:
            raise AddressRefused(f"{target.host} has no address.")
        for text in answers:
            self._check(target, reached_address(text))
        return list(answers)

    def _check(self, target: Target, address: IPAddress) -> None:
        if any(address in network for network in self.allowed):
            return
        if self.hosts and (target.host not in self.hosts or target.port != _PORTS["https"]):
            raise AddressRefused(f"The address must begin with https://{self.hosts[0]}/.")
        if not is_public(address):
            raise AddressRefused(f"{target.host} is not a public address, and this installation allows no other.")
        if target.scheme != "https":
            raise AddressRefused("The address must begin with https://.")


def guard_of_settings(*, hosts: tuple[str, ...] = ()) -> Guard:
    """With the networks of `WEBHOOK_ALLOWED_NETWORKS`."""
    return Guard(_networks(tuple(settings.WEBHOOK_ALLOWED_NETWORKS)), hosts)


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


def reached_address(text: str) -> IPAddress:
    """The address that is reached: of IPv4 addresses in IPv6 clothes the one inside."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public Internet; tunnels that lead elsewhere (6to4, Teredo) do not."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def address_check(url: str, guard: Guard, *, seconds: float, resolve: Resolve = dns_answers) -> None:
    """Whether a message could go there, without sending one. Raises `AddressRefused`, with words for its owner."""
    target = target_of(url)
    try:
        answers = answers_within(resolve, target.host, target.port, seconds=seconds)
    except (OSError, UnicodeError) as fault:
        raise AddressRefused(f"The host {target.host} cannot be found.") from fault
    guard.addresses(target, answers)
