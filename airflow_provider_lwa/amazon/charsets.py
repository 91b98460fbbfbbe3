"""What a document's bytes are encoded in, and how they become UTF-8.

Amazon says that its documents are UTF-8, and they are not all: flat files of Europe and the Americas come in
ISO-8859-1, those of Japan in Shift_JIS, each with the characters that Microsoft added. :func:`reading` is the
rule, :class:`Text` carries it out on a stream. Nothing is ever replaced: what cannot be decoded is an error
that says where.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING

from airflow_provider_lwa.amazon.errors import ConfigurationError, DocumentUndecodable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

JAPAN = "A1VC38T7YXB528"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the bytes of a document become text.

    :param codec: what they are encoded in; ``None`` leaves them as they are
    :param fallback: what they are encoded in if they turn out not to be in *codec*
    :param tabular: whether its lines are rows under a header
    """

    codec: str | None
    fallback: str | None = None
    tabular: bool = False


#: What is called by the name on the left is, at Amazon, encoded in the superset on the right.
SUPERSETS = {"shift_jis": "cp932", "iso8859-1": "cp1252", "utf-8-sig": "utf-8"}
_REGISTERED = {"windows-31j": "cp932"}  # with IANA, and not known to every Python


def reading(
    encoding: str | None, content_type: str | None, head: bytes, marketplace_ids: Collection[str] = ()
) -> Reading:
    """Decide how to read a document.

    The first that holds:

    1. what the caller says
    2. JSON and XML are UTF-8
    3. the charset in Content-Type, widened to its superset (Shift_JIS to cp932, ISO-8859-1 to cp1252)
    4. a byte order mark
    5. UTF-8 if all of it is; else cp932 if the only marketplace is Japan, else cp1252

    :param encoding: a codec, ``"auto"``, or ``None`` for bytes as they are
    :param content_type: header of the answer
    :param head: the first bytes, decompressed
    :param marketplace_ids: what the document is about
    """
    if encoding is None:
        return Reading(None)
    charset = _charset(content_type)
    structured = _structured(media_type(content_type), charset, head)
    if encoding != "auto":
        return Reading(_canonical(encoding) or encoding, tabular=not structured)
    if structured:
        return Reading("utf-8")
    declared = charset and SUPERSETS.get(charset, charset)
    codec = declared or _byte_order_mark(head)
    if codec:
        return Reading(codec, tabular=True)
    return Reading("utf-8", "cp932" if set(marketplace_ids) == {JAPAN} else "cp1252", tabular=True)


def media_type(content_type: str | None) -> str | None:
    """Take the media type out of a header.

    :param content_type: ``text/plain; charset=UTF-8``
    :return: ``text/plain``; ``None`` without a header
    """
    return _header(content_type).get_content_type() if content_type else None


def _charset(content_type: str | None) -> str | None:
    return _canonical(_header(content_type or "").get_content_charset() or "")


def _header(content_type: str) -> Message:
    header = Message()
    header["Content-Type"] = content_type
    return header


def _canonical(charset: str) -> str | None:
    """Python's name of a charset; ``None`` for one it does not know or cannot read in pieces."""
    name = _REGISTERED.get(charset.lower(), charset)
    try:
        "a".encode(name or "unknown")  # refuses what is no encoding of text, such as base64
        codecs.getincrementaldecoder(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return None


def require_codec(encoding: str | None) -> None:
    """Refuse an encoding that no document can be read in.

    :param encoding: a codec, ``"auto"`` or ``None``
    :raises ConfigurationError: if it is none of these
    """
    if encoding not in {None, "auto"} and _canonical(str(encoding)) is None:
        raise ConfigurationError(
            f"Python knows no text encoding {encoding!r}. Name one such as cp932, 'auto', or None for bytes."
        )


def _structured(media: str | None, charset: str | None, head: bytes) -> bool:
    """Tell whether it is JSON or XML: by its type, or by its first characters if no charset is declared."""
    if media and re.search("(json|xml)l?$", media):
        return True
    return charset is None and head.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b"[", b"<?xml"))


def _byte_order_mark(head: bytes) -> str | None:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None


class Text:
    """Turns the bytes of a document into UTF-8, piece by piece.

    ``codec`` is what they turned out to be encoded in. ``doubtful`` tells that they looked like UTF-8 beyond
    ASCII until a byte came that is not: they have passed unchanged and have to be decoded from their start.

    :param how: what to expect
    """

    def __init__(self, how: Reading) -> None:
        self.codec = how.codec
        self.doubtful = False
        self._fallback = how.fallback
        self._position = 0  # of the next byte in the document
        self._held = b""  # the beginning of a character
        self._ascii = True  # so far
        self._binary = False
        self._convert = self._unchanged
        if how.codec == "utf-8":
            self._convert = self._checked
        elif how.codec:
            self._decode_as(how.codec)

    def pieces(self, source: Iterable[bytes]) -> Iterator[bytes]:
        """Convert.

        :param source: the document's bytes; the first piece holds at least the byte order mark
        """
        for number, piece in enumerate(source):
            converted = self._convert(piece, final=False)
            # Some codecs leave the mark in the text, where it would become part of the first column's name.
            yield converted if number or not self.codec else converted.removeprefix(codecs.BOM_UTF8)
        yield self._convert(b"", final=True)

    def _unchanged(self, piece: bytes, *, final: bool) -> bytes:
        del final
        return piece

    def _checked(self, piece: bytes, *, final: bool) -> bytes:
        self._binary = self._binary or b"\0" in piece
        if not self._held and piece.isascii():
            self._position += len(piece)
            return piece
        data = self._held + piece
        try:
            _, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            return self._fall_back(data, error.start, final=final)
        self._held, good = data[used:], data[:used]
        self._ascii = self._ascii and good.isascii()
        self._position += used
        return good

    def _fall_back(self, data: bytes, bad: int, *, final: bool) -> bytes:
        if self._fallback is None or self._binary:
            raise _undecodable("utf-8" if self._fallback is None else "text", self._position + bad)
        self.codec = self._fallback
        if self._ascii and data[:bad].isascii():  # which is the same in every fallback
            self._decode_as(self._fallback)
            return self._convert(data, final=final)
        self.doubtful = True
        self._convert = self._unchanged
        return data

    def _decode_as(self, codec: str) -> None:
        self._decoder = codecs.getincrementaldecoder(codec)("strict")
        self._convert = self._decoded

    def _decoded(self, piece: bytes, *, final: bool) -> bytes:
        try:
            converted = self._decoder.decode(piece, final).encode()
        except UnicodeDecodeError as error:
            held = len(error.object) - len(piece)
            raise _undecodable(str(self.codec), self._position - held + error.start) from None
        except UnicodeError:  # the byte order mark is missing, or half a surrogate pair
            raise _undecodable(str(self.codec), self._position) from None
        self._position += len(piece)
        return converted


def _undecodable(what: str, position: int) -> DocumentUndecodable:
    return DocumentUndecodable(f"The document is not {what}: it cannot be read at byte {position}.")
