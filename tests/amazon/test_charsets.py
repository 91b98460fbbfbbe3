"""Which encoding a document is read in, and how its bytes become UTF-8."""

from __future__ import annotations

import codecs
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.amazon.charsets import JAPAN, Reading, Text, media_type, reading, require_codec
from airflow_provider_lwa.amazon.errors import ConfigurationError, DocumentUndecodable

ROWS = b"sku\tprice\n"
GUESS = Reading("utf-8", "cp1252", tabular=True)


def converted(how: Reading, *pieces: bytes) -> tuple[bytes, Text]:
    """:return: What a document in these pieces becomes, and what it was found to be."""
    text = Text(how)
    return b"".join(text.pieces(pieces)), text


@pytest.mark.parametrize(
    ("encoding", "content_type", "head", "marketplaces", "expected"),
    [
        # The caller's word stands above all.
        (None, "text/plain; charset=UTF-8", ROWS, [], Reading(None)),
        ("cp1252", "text/plain; charset=UTF-8", codecs.BOM_UTF8, [], Reading("cp1252", tabular=True)),
        ("shift_jis", "text/plain; charset=windows-31j", ROWS, [JAPAN], Reading("shift_jis", tabular=True)),
        ("UTF8", None, ROWS, [], Reading("utf-8", tabular=True)),
        ("cp932", "application/json", b"{}", [], Reading("cp932")),
        # JSON and XML are UTF-8.
        ("auto", "application/json", b"{}", [], Reading("utf-8")),
        ("auto", "application/json;charset=ISO-8859-1", b"{}", [JAPAN], Reading("utf-8")),
        ("auto", "application/jsonl", b"{}\n{}", [], Reading("utf-8")),
        ("auto", "application/vnd.spCampaigns.v3+json", b"[]", [], Reading("utf-8")),
        ("auto", "text/xml", b"<a/>", [], Reading("utf-8")),
        ("auto", "application/octet-stream", b' \n[{"a": 1}]', [], Reading("utf-8")),
        ("auto", None, codecs.BOM_UTF8 + b'{"a": 1}', [], Reading("utf-8")),
        ("auto", "text/plain", b"<?xml version='1.0'?>", [JAPAN], Reading("utf-8")),
        # Then what the store declares, widened to what it is.
        ("auto", "text/plain;charset=UTF-8", ROWS, [JAPAN], Reading("utf-8", tabular=True)),
        ("auto", "text/plain;charset=utf-8-sig", ROWS, [], Reading("utf-8", tabular=True)),
        ("auto", "text/tab-separated-values; charset=Shift_JIS", ROWS, [], Reading("cp932", tabular=True)),
        ("auto", "text/plain; charset=windows-31j", ROWS, [], Reading("cp932", tabular=True)),
        ("auto", "text/plain; charset=MS932", ROWS, [], Reading("cp932", tabular=True)),
        ("auto", "text/plain; charset=ISO-8859-1", ROWS, [JAPAN], Reading("cp1252", tabular=True)),
        ("auto", "text/plain; charset=latin1", ROWS, [], Reading("cp1252", tabular=True)),
        ("auto", 'text/plain; charset="Cp1252"', ROWS, [], Reading("cp1252", tabular=True)),
        ("auto", "text/plain; charset=UTF-8", b'{"a" is a column}', [], Reading("utf-8", tabular=True)),
        ("auto", "text/plain; charset=Cp1252", codecs.BOM_UTF8, [], Reading("cp1252", tabular=True)),
        # Then a byte order mark.
        ("auto", "text/plain", codecs.BOM_UTF8 + ROWS, [JAPAN], Reading("utf-8", tabular=True)),
        ("auto", None, codecs.BOM_UTF16_LE + b"s\0", [], Reading("utf-16", tabular=True)),
        ("auto", "text/plain", codecs.BOM_UTF16_BE + b"\0s", [], Reading("utf-16", tabular=True)),
        # Then UTF-8 if it is, else what the marketplace suggests.
        ("auto", "text/plain", ROWS, [], GUESS),
        ("auto", "text/plain; charset=klingon", ROWS, [], GUESS),
        ("auto", "text/plain; charset=base64", ROWS, [], GUESS),
        ("auto", None, b"", [], GUESS),
        ("auto", None, ROWS, ["ATVPDKIKX0DER"], GUESS),
        ("auto", None, ROWS, [JAPAN, "ATVPDKIKX0DER"], GUESS),
        ("auto", None, ROWS, [JAPAN], Reading("utf-8", "cp932", tabular=True)),
        ("auto", None, ROWS, (JAPAN, JAPAN), Reading("utf-8", "cp932", tabular=True)),
    ],
)
def test_the_first_rule_that_holds_decides(
    encoding: str | None, content_type: str | None, head: bytes, marketplaces: list[str], expected: Reading
) -> None:
    """The caller, the format, the declared charset, a byte order mark, a guess that is checked."""
    assert reading(encoding, content_type, head, marketplaces) == expected


@pytest.mark.parametrize("encoding", ["utf-88", "base64", "rot13", "undefined", "", "ut\0f"])
def test_what_is_no_text_encoding_is_refused(encoding: str) -> None:
    """Also those that Python knows but no document can be in."""
    with pytest.raises(ConfigurationError, match="knows no text encoding"):
        require_codec(encoding)


@pytest.mark.parametrize("encoding", ["auto", None, "cp932", "UTF-16", "windows-31j", "big5"])
def test_every_text_encoding_of_pythons_may_be_named(encoding: str | None) -> None:
    """Under any of its names."""
    require_codec(encoding)


def test_the_media_type_is_without_parameters() -> None:
    """In lower case; ``None`` if the store does not say."""
    assert media_type("Text/Plain; charset=UTF-8") == "text/plain"
    assert media_type(None) is None


@pytest.mark.parametrize(
    ("how", "document"),
    [
        (Reading("utf-8"), codecs.BOM_UTF8 + "Größe".encode()),
        (Reading("utf-8-sig"), codecs.BOM_UTF8 + "Größe".encode()),
        (Reading("utf-16"), "Größe".encode("utf-16")),
        (Reading("utf-16-le"), "\ufeffGröße".encode("utf-16-le")),
        (GUESS, "Größe".encode("cp1252")),
        (GUESS, "Größe".encode()),
        (Reading("utf-8", "cp932"), "Größe".encode()),
    ],
)
def test_the_same_text_comes_out(how: Reading, document: bytes) -> None:
    """As UTF-8, without the byte order mark, which would be part of the first column's name."""
    assert converted(how, document)[0] == "Größe".encode()


def test_a_byte_order_mark_in_the_middle_is_text() -> None:
    """Only at the beginning it is a mark."""
    document = "a\ufeffb".encode()

    assert converted(Reading("utf-8"), document, document)[0] == document * 2


def test_ascii_alone_settles_nothing() -> None:
    """The first other byte decides, however late it comes; what was written before is right in any case."""
    out, text = converted(GUESS, b"a\n" * 50_000, b"b\n", "é\n".encode("cp1252"), "ü".encode("cp1252"))

    assert out == b"a\n" * 50_000 + "b\né\nü".encode()
    assert (text.codec, text.doubtful) == ("cp1252", False)


def test_half_a_character_at_the_end_of_a_piece_settles_nothing() -> None:
    """It may be completed, or turn out to be another encoding's; it is not written before."""
    assert converted(GUESS, b"x\xc3", b"\xa9")[0] == "xé".encode()
    assert converted(GUESS, b"x\xc3", b"x")[0] == "xÃx".encode()
    assert converted(GUESS, b"x\xc3")[0] == "xÃ".encode()
    assert converted(GUESS, b"x\xc3")[1].doubtful is False


def test_text_that_stops_being_utf_8_has_to_be_decoded_again() -> None:
    """What looked like UTF-8 beyond ASCII was something else; the bytes come out unchanged until then."""
    document = ["Ã©".encode("cp1252"), b"\xe9", b"\xc3\xa9"]
    out, text = converted(GUESS, *document)

    assert out == b"".join(document)
    assert (text.codec, text.doubtful) == ("cp1252", True)


@pytest.mark.parametrize(
    ("how", "pieces", "message"),
    [
        (Reading("utf-8"), [b"abc", b"d\xff"], "not utf-8: it cannot be read at byte 4"),
        (Reading("utf-8"), [b"abc", b"\xe3\x83"], "not utf-8: it cannot be read at byte 3"),
        (Reading("utf-8"), [codecs.BOM_UTF8 + b"a\xff"], "not utf-8: it cannot be read at byte 4"),
        (Reading("cp932"), [b"ab\x83", b"\xff"], "not cp932: it cannot be read at byte 2"),
        (Reading("cp932"), [b"ab\x83", b"c", b"\x83"], "not cp932: it cannot be read at byte 4"),
        (Reading("cp1252"), [b"abc", b"d\x81"], "not cp1252: it cannot be read at byte 4"),
        (Reading("shift_jis"), ["①".encode("cp932")], "not shift_jis: it cannot be read at byte 0"),
        (Reading("utf-16"), [b"\xff\xfea\0", b"\0\xd8a\0"], "not utf-16: it cannot be read at byte 4"),
        (Reading("utf-16"), [b"a\0b\0"], "not utf-16: it cannot be read at byte 0"),
        (Reading("unicode_escape"), [b"a\\ud800"], "not unicode_escape: it cannot be read at byte 0"),
        (GUESS, [b"abc", b"\xe9\x81"], "not cp1252: it cannot be read at byte 4"),
        (GUESS, [b"PK\x03\x04\x00\xe9"], "not text: it cannot be read at byte 5"),
        (GUESS, [b"PK\x03\x04\x00", b"\xe9\xe9"], "not text: it cannot be read at byte 5"),
    ],
)
def test_what_cannot_be_decoded_is_an_error_that_says_where(
    how: Reading, pieces: list[bytes], message: str
) -> None:
    """Nothing is replaced or left out; archives and pictures do not pass for text."""
    with pytest.raises(DocumentUndecodable, match=message):
        converted(how, *pieces)


@given(st.lists(st.binary(max_size=20), max_size=8), st.sampled_from(["cp932", "cp1252"]))
def test_a_guess_agrees_with_decoding_the_whole(pieces: list[bytes], fallback: str) -> None:
    """Any bytes in any pieces: UTF-8 if all of it is, else the fallback, else an error."""
    document = b"".join(pieces)
    if len(pieces) > 1:  # the caller makes sure that a byte order mark is in the first piece
        pieces = [pieces[0] + pieces[1], *pieces[2:]]
    expected: bytes | None = None
    for codec in ("utf-8", fallback):
        try:
            expected = document.decode(codec).encode()
            break
        except UnicodeDecodeError:
            continue

    try:
        out, text = converted(Reading("utf-8", fallback), *pieces)
        if text.doubtful:
            assert out == document
            out, text = converted(Reading(text.codec), out)
    except DocumentUndecodable:
        assert expected is None or b"\0" in document
    else:
        assert (out, text.codec) == (expected, codec) if expected != document else out == document


@given(st.data())
def test_a_byte_is_found_where_it_is(data: st.DataObject) -> None:
    """The position in an error is that of the whole document, whatever the pieces."""
    before = data.draw(st.text("aé\n", max_size=20)).encode()
    document = before + b"\xff" + b"a" * 9
    bounds = sorted(data.draw(st.lists(st.integers(0, len(document)), max_size=5)))
    pieces = [document[start:stop] for start, stop in itertools.pairwise([0, *bounds, len(document)])]

    with pytest.raises(DocumentUndecodable, match=rf"at byte {len(before)}\."):
        converted(Reading("utf-8"), *pieces)
