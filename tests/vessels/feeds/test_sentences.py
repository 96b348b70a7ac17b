"""Lines into messages: tag blocks, `$PGHP`, checksums, several sentences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.vessels.feeds.writing import NOON, ais, at, pghp, position, tag_block
from vessels.feeds.rejections import Rejections
from vessels.feeds.sentences import Message, SentenceReader

NAMED = {"type": 5, "shipname": "AURORA", "callsign": "OXYZ", "imo": 9007128, "ship_type": 60}


def read(*lines: str | bytes) -> tuple[list[Message], dict[str, int]]:
    rejected = Rejections()
    reader = SentenceReader(rejected)
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    messages = [message for line in encoded if (message := reader.read(line)) is not None]
    reader.finish()
    return messages, {kind: r.count for kind, r in rejected.items()}


def test_a_tag_block_gives_time_and_station() -> None:
    (message,), rejected = read(at(1, position(), station="r002190067"))

    assert (message.tag.time, message.tag.station) == ((NOON + 1) * 1_000_000, "r002190067")
    assert not rejected


def test_a_tag_block_may_count_milliseconds() -> None:
    (message,), _ = read(tag_block(f"c:{NOON}123") + position())

    assert message.tag.time == NOON * 1_000_000 + 123_000


def test_a_receiver_stands_in_for_a_station() -> None:
    (message,), _ = read(tag_block(f"r:harbour,c:{NOON}") + position())

    assert message.tag.station == "harbour"


def test_a_tag_block_on_a_line_of_its_own_holds_for_the_next_sentence_only() -> None:
    (first, second), _ = read(tag_block(f"s:one,c:{NOON}"), position(), position())

    assert (first.tag.station, first.tag.time) == ("one", NOON * 1_000_000)
    assert (second.tag.station, second.tag.time) == ("", None)


def test_a_gatehouse_line_gives_time_and_station_of_the_next_sentence() -> None:
    (message,), _ = read(r"\si:AISD*3F" + "\\", pghp(second=4, milli=137), position())

    assert message.tag.time == (NOON + 4) * 1_000_000 + 137_000
    assert message.tag.station == "r002190067"


def test_in_a_file_a_gatehouse_line_holds_until_the_next_one() -> None:
    rejected = Rejections()
    reader = SentenceReader(rejected, lasting=True)
    lines = [pghp(second=4), position(), position(), pghp(second=9), position()]

    messages = [message for line in lines if (message := reader.read(line.encode())) is not None]

    assert [message.tag.time for message in messages] == [(NOON + second) * 1_000_000 for second in (4, 4, 9)]


def test_a_live_gatehouse_line_is_for_one_sentence() -> None:
    messages, _ = read(pghp(second=4), position(), position())

    assert [message.tag.time for message in messages] == [(NOON + 4) * 1_000_000, None]


def test_a_tag_block_goes_before_a_gatehouse_line() -> None:
    (message,), _ = read(pghp(second=4), at(9, position()))

    assert message.tag.time == (NOON + 9) * 1_000_000


def test_a_message_of_two_sentences_is_heard_when_its_first_was() -> None:
    first, second = ais(**NAMED)

    (message,), rejected = read(at(0, first, "a"), at(3, second, "a"))

    assert message.tag.time == NOON * 1_000_000
    assert not rejected


def test_only_the_first_sentence_needs_a_tag_block() -> None:
    first, second = ais(**NAMED)

    (message,), _ = read(at(0, first, "a"), second)

    assert message.tag.station == "a"


def test_stations_that_take_turns_do_not_mix_their_messages() -> None:
    first, second = ais(**NAMED)
    other_first, other_second = ais(**NAMED | {"shipname": "BOREALIS"})

    messages, rejected = read(
        at(0, first, "a"), at(0, other_first, "b"), at(0, second, "a"), at(0, other_second, "b")
    )  # fmt: skip

    assert [m.tag.station for m in messages] == ["a", "b"]
    assert messages[0].payload != messages[1].payload
    assert not rejected


def test_a_group_shares_the_tag_block_of_its_first_sentence() -> None:
    first, second = ais(**NAMED)

    (message,), _ = read(tag_block(f"g:1-2-77,s:a,c:{NOON}") + first, tag_block("g:2-2-77") + second)

    assert (message.tag.time, message.tag.station) == (NOON * 1_000_000, "a")


def test_a_checksum_made_before_the_group_was_written_in_front_is_accepted() -> None:
    block = tag_block(f"c:{NOON}").replace("\\c:", "\\g:1-2-9,c:")

    (message,), rejected = read(block + position())

    assert message.tag.time == NOON * 1_000_000
    assert not rejected


def test_a_message_whose_second_sentence_never_comes_is_incomplete() -> None:
    first, _ = ais(**NAMED)

    messages, rejected = read(at(0, first), at(1, position()))

    assert len(messages) == 1
    assert rejected == {"incomplete": 1}


def test_a_sequence_number_that_comes_round_again_does_not_join_an_old_message() -> None:
    first, second = ais(**NAMED)

    messages, rejected = read(at(0, first), at(600, second))

    assert not messages
    assert rejected == {"incomplete": 2}


def test_a_wrong_checksum_is_counted() -> None:
    sentence = position()

    messages, rejected = read(sentence[:-2] + f"{int(sentence[-2:], 16) ^ 1:02X}")

    assert not messages
    assert rejected == {"bad_checksum": 1}


def test_a_line_with_a_broken_tag_block_is_refused_whole() -> None:
    messages, rejected = read(f"\\c:{NOON}*00\\" + position())

    assert not messages
    assert rejected == {"bad_checksum": 1}


def test_any_talker_and_ones_own_ship_are_heard() -> None:
    body = position().replace("!AIVDM", "{}")
    lines = []
    for head in ("!BSVDM", "!ABVDM", "!AIVDO"):
        text = body.format(head).rpartition("*")[0]
        check = 0
        for byte in text[1:].encode():
            check ^= byte
        lines.append(f"{text}*{check:02x}")

    messages, rejected = read(*lines)

    assert len(messages) == 3
    assert not rejected


def test_what_a_station_appends_after_the_checksum_is_ignored() -> None:
    messages, rejected = read(position() + ",s1234,r003669958,1085889680")

    assert len(messages) == 1
    assert not rejected


def test_other_sentences_and_garbage_are_told_apart() -> None:
    _, rejected = read("$PSTT,30A,20131112,120000*6D", "hello", "!AIVDM,1,1", b"\xff\xfe\x00", "\\c:1")

    assert rejected == {"other_sentence": 1, "garbled": 4}


@given(st.lists(st.binary(max_size=200)))
def test_no_bytes_make_it_raise(lines: list[bytes]) -> None:
    read(*lines)


@given(st.lists(st.text(alphabet="!\\$,*:ABVDMIPGHcsg0123456789-w", max_size=80)))
def test_no_near_sentence_makes_it_raise(lines: list[str]) -> None:
    read(*lines, *[f"!{line}" for line in lines], *[tag_block(line) + position() for line in lines])
