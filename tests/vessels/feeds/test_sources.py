"""How sources are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vessels.feeds import CsvFile, NmeaFile, NmeaTcp, NmeaUdp, SourceError, is_bounded, parse_source


def test_a_file_of_sentences_may_have_spaces_and_question_marks_in_its_path() -> None:
    source = parse_source("nmea+file:/data/my days/what?.nmea.gz")

    assert source == NmeaFile("nmea+file:/data/my days/what?.nmea.gz", Path("/data/my days/what?.nmea.gz"))
    assert is_bounded(source)


def test_a_server_has_a_host_and_a_port() -> None:
    source = parse_source(" nmea+tcp://[::1]:10110/ ")

    assert isinstance(source, NmeaTcp)
    assert (source.host, source.port) == ("::1", 10110)
    assert not is_bounded(source)


def test_datagrams_have_an_address_to_listen_on() -> None:
    source = parse_source("nmea+udp://0.0.0.0:4001")

    assert isinstance(source, NmeaUdp)
    assert (source.host, source.port) == ("0.0.0.0", 4001)


@pytest.mark.parametrize("written", ["%d/%m/%Y %H:%M", "%25d/%25m/%25Y%20%25H:%25M", "%25d%2F%25m%2F%25Y %H%3A%M"])
def test_a_time_format_is_the_same_as_typed_and_escaped(written: str) -> None:
    source = parse_source(f"csv+file:a b.csv?mmsi=ID&time=when%20seen&lon=x&lat=y&time_format={written}")

    assert isinstance(source, CsvFile)
    assert source.path == Path("a b.csv")
    assert dict(source.columns) == {"mmsi": "ID", "time": "when seen", "lon": "x", "lat": "y"}
    assert source.time_format == "%d/%m/%Y %H:%M"


def test_a_time_format_keeps_a_letter_that_looks_like_an_escape() -> None:
    source = parse_source("csv+file:a.csv?time_format=%da%mb")

    assert isinstance(source, CsvFile)
    assert source.time_format == "%da%mb"


def test_a_delimiter_can_be_named() -> None:
    source = parse_source("csv+file:a.csv?delimiter=tab")

    assert isinstance(source, CsvFile)
    assert source.delimiter == "\t"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("day.nmea", "is no source"),
        ("ftp://host:1", "is no kind of source"),
        ("nmea+file:", "names no file"),
        ("nmea+tcp://host", "needs a host and a port"),
        ("nmea+tcp:host:10", "needs a host and a port"),
        ("nmea+udp://:10110", "needs a host and a port"),
        ("nmea+tcp://host:0", "not a number from 1 to 65535"),
        ("nmea+tcp://host:x", "not a number from 1 to 65535"),
        ("csv+file:a.csv?mmsi=", "has no value"),
        ("csv+file:a.csv?colour=red", "unknown option 'colour'"),
        ("csv+file:a.csv?mmsi=a&mmsi=b", "given twice"),
        ("csv+file:a.csv?delimiter=x", "none of comma, semicolon and tab"),
    ],
)
def test_a_wrong_source_says_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        parse_source(text)
