"""The one who is told."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_lwa.demo.receiver import Receiver


def test_keeps_what_is_posted_in_order() -> None:
    """Each message is handed out once, in the order of arrival, as it was posted."""
    with Receiver() as receiver:
        for text in ("first", "zwölf"):
            answer = requests.post(f"http://127.0.0.1:{receiver.port}/", data=text.encode(), timeout=5)
            assert answer.status_code == 204

        assert [receiver.next(), receiver.next(timeout=5), receiver.next()] == ["first", "zwölf", None]


def test_is_gone_after_the_block() -> None:
    """After the block nobody listens."""
    with Receiver() as receiver:
        port = receiver.port

    with pytest.raises(requests.ConnectionError):
        requests.post(f"http://127.0.0.1:{port}/", timeout=5)
