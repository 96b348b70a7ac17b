"""Mails sent per second and what each costs: ours beside django-post_office and django-mailer.

The same mails from the same PostgreSQL to the same mail server, each sender in a process of its own. What a sender does
before it has looked at its queue (starting Python, filling its tables) is not measured; the recording of every outcome
is. Peers are given mails that are written already, so ours is compared with its words fixed beforehand (`prepared`);
`rendered` shows the production path, where the send cycle writes the words of each alert itself. `bare` is no sender,
but shows what one bare process carries here: where all waits are of the same length, answers come in bursts, which the
mail server and its client handle one after another.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings

from benchmarks.frame import Case
from benchmarks.sender.measured import Measured
from benchmarks.sender.rounds import PostOffice, Rounds, bare_sender, mailer_sender, ours_sender, post_office_sender
from benchmarks.stage.databases import throw_away
from benchmarks.stage.smtp_sink import NoSink, sink_install

MESSAGES = 5_000
LATENCY = 0.020
# With one connection django-mailer takes 25 ms a mail: enough of them for a rate.
MAILER_SLOW_MESSAGES = 1_000


# The best of `tuning.py`; the number of connections is processes times threads.
POST_OFFICE = PostOffice(processes=4, threads=5, batch=5_000)
POST_OFFICE_SLOW = {
    20: PostOffice(processes=4, threads=5, batch=5_000),
    60: PostOffice(processes=4, threads=15, batch=5_000),
}
# It records outcomes when a batch is done. So that a kill repeats no more of its mails than of ours, a batch is one
# mail for each connection; then one process is its best.
POST_OFFICE_AS_SAFE = {
    20: PostOffice(processes=1, threads=20, batch=20),
    60: PostOffice(processes=1, threads=60, batch=60),
}


def cases() -> Iterator[Case]:
    try:
        sink_install()
    except NoSink as missing:
        print(f"sender: skipped, for figures from another mail server would not count. {missing}", file=sys.stderr)
        return
    with ExitStack() as stack:
        var = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peers_settings = "benchmarks.sender.peer_settings"
        ours = stack.enter_context(throw_away(settings.DATABASE_URL, "ours", var=var))
        peers = stack.enter_context(throw_away(settings.DATABASE_URL, "peers", settings=peers_settings, var=var))
        yield from _at_once(ours, peers)
        for connections in POST_OFFICE_SLOW:
            yield from _slow(connections, ours, peers)


def _at_once(ours: dict[str, str], peers: dict[str, str]) -> Iterator[Case]:
    senders = {
        "20 connections": ours_sender(ours, connections=20),
        "20 connections in 2 processes": ours_sender(ours, connections=20, processes=2),
        "rendered, 20 connections": ours_sender(ours, connections=20, words="rendered"),
        "post_office": post_office_sender(peers, POST_OFFICE),
        "mailer": mailer_sender(peers, MESSAGES),
    }
    rounds = Rounds(senders, delay=0.0)
    both = ("20 connections", "20 connections in 2 processes")
    yield from _pairs(rounds, "0 ms", both, peer="post_office", told=str(POST_OFFICE))
    yield from _pairs(rounds, "0 ms", ("rendered, 20 connections",))
    yield from _pairs(rounds, "0 ms", ("20 connections",), peer="mailer", told="django-mailer")


def _slow(connections: int, ours: dict[str, str], peers: dict[str, str]) -> Iterator[Case]:
    """The most that these connections can carry is connections / latency, and here about what `bare` does."""
    name = f"{connections} connections"
    split = f"{name} in 2 processes"
    bare = f"bare, {name}"
    settings, as_safe = POST_OFFICE_SLOW[connections], POST_OFFICE_AS_SAFE[connections]
    senders = {
        name: ours_sender(ours, connections=connections),
        split: ours_sender(ours, connections=connections, processes=2),
        "post_office": post_office_sender(peers, settings),
        "post_office, as safe": post_office_sender(peers, as_safe),
        bare: bare_sender(ours, connections=connections),
    }
    if connections == min(POST_OFFICE_SLOW):
        senders["mailer"] = mailer_sender(peers, MAILER_SLOW_MESSAGES)
    rounds = Rounds(senders, delay=LATENCY)
    yield from _pairs(rounds, "20 ms", (name, split), peer="post_office", told=str(settings))
    yield from _pairs(rounds, "20 ms", (name,), peer="post_office, as safe", told=f"{as_safe}: as few repeats")
    for each in (name, split, bare):
        yield _rate_beside(rounds, "20 ms", each, peer="connections / latency", run_peer=lambda: connections / LATENCY)
    for each in (name, split):
        yield _rate_beside(rounds, "20 ms", each, peer="bare", run_peer=rounds.of(bare, _rate))
    if "mailer" in senders:
        yield from _pairs(rounds, "20 ms", (name,), peer="mailer", told="django-mailer, one connection")


def _pairs(rounds: Rounds, latency: str, names: tuple[str, ...], *, peer: str = "", told: str = "") -> Iterator[Case]:
    """Rate and cost of each of ours, beside a peer's."""
    for name in names:
        for unit, figure in (("messages/s", _rate), ("CPU ms/msg", _cost)):
            yield Case(
                case=f"{latency}, {name}",
                unit=unit,
                ours=rounds.of(name, figure),
                peer=told,
                run_peer=rounds.of(peer, figure) if peer else None,
            )


def _rate_beside(rounds: Rounds, latency: str, name: str, *, peer: str, run_peer: Callable[[], float]) -> Case:
    case = f"{latency}, {name}"
    return Case(case=case, unit="messages/s", ours=rounds.of(name, _rate), peer=peer, run_peer=run_peer)


def _rate(measured: Measured) -> float:
    return measured.rate


def _cost(measured: Measured) -> float:
    return measured.cost
