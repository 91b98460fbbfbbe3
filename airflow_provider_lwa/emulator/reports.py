"""Reports, how they turn out, and their documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_lwa.emulator.content import Bytes, File, gzipped, rows

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_lwa.emulator.content import Content

DEFAULT_CONTENT_TYPE = "text/tab-separated-values; charset=UTF-8"

_DEFAULT_SIZE = 2000
_FATAL_REASON = "The report could not be produced. Check the report options and the dates of your request."


@dataclass
class ReportPlan:
    """
    How reports of one type will turn out.

    :param status: ``DONE``, ``CANCELLED`` or ``FATAL``
    :param polls: how many answers say IN_QUEUE or IN_PROGRESS before that
    :param content: the document; ``None`` for no document
    :param compressed: whether the answer of getReportDocument says GZIP
    :param content_type: the document's type
    :param remaining: for how many reports the plan holds; ``None`` for all
    """

    status: str = "DONE"
    polls: int = 2
    content: Content | None = field(default_factory=lambda: gzipped(rows(_DEFAULT_SIZE)))
    compressed: bool = True
    content_type: str = DEFAULT_CONTENT_TYPE
    remaining: int | None = None


@dataclass
class Document:
    """
    A report's document.

    :param document_id: its id
    :param report_id: the report's
    :param selling_partner_id: whose it is
    :param report_type: of which report
    :param content: the bytes that are stored
    :param compressed: whether Amazon says that they are gzip
    :param content_type: the stored type
    """

    document_id: str
    report_id: str
    selling_partner_id: str
    report_type: str
    content: Content = field(repr=False)
    compressed: bool
    content_type: str


@dataclass
class Report:
    """
    One report.

    :param report_id: unique only together with the selling partner
    :param report_type: its type
    :param selling_partner_id: whose it is
    :param marketplace_ids: for which marketplaces
    :param created_at: when it was asked for
    :param plan: how it turns out
    :param document: what it turns into
    :param data_start_time: the first moment covered
    :param data_end_time: the last moment covered
    :param polls: how many answers were given about it
    :param cancelled: whether it was cancelled by request
    """

    report_id: str
    report_type: str
    selling_partner_id: str
    marketplace_ids: tuple[str, ...]
    created_at: float
    plan: ReportPlan
    document: Document | None
    data_start_time: str | None = None
    data_end_time: str | None = None
    polls: int = 0
    cancelled: bool = False

    @property
    def status(self) -> str:
        """The processing status that the next answer will name."""
        if self.cancelled:
            return "CANCELLED"
        if self.polls >= self.plan.polls:
            return self.plan.status
        return "IN_PROGRESS" if self.polls else "IN_QUEUE"


def data(body: bytes | str | None, size: int | None, path: Path | None) -> Content:
    """
    Make the plain document of a report.

    :param body: the document
    :param size: or its number of bytes, for rows
    :param path: or a file that is the document
    :return: its content
    """
    if path is not None:
        return File(path)
    if body is not None:
        return Bytes(body.encode() if isinstance(body, str) else body)
    return rows(_DEFAULT_SIZE if size is None else size)


def explanation(reason: str | None) -> Content | None:
    """
    Make the document of a report that ended FATAL.

    :param reason: why it did; a general one if ``None``
    :return: its content; ``None`` if the reason is empty
    """
    text = _FATAL_REASON if reason is None else reason
    return Bytes(f"Error: {text}".encode()) if text else None
