"""The page "Amazon credentials" inside Airflow 3.1 and later: how each credential is, as the monitor saw it.

Every process of Airflow loads its plugins, but only the API server shows pages. So the web framework and the
page (:mod:`~airflow_provider_lwa.plugins.credentials_page`) are loaded when somebody opens it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_lwa._airflow import AIRFLOW_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

URL_PREFIX = "/lwa"
_SHOWS_PAGES = AIRFLOW_VERSION >= (3, 1)


@functools.cache
def _page() -> Any:
    from airflow_provider_lwa.plugins.credentials_page import (  # noqa: PLC0415 - because it loads FastAPI
        app,
    )

    return app


async def page_when_asked(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    """Answer as the page's application does, which is loaded at the first request.

    :param scope: ASGI
    :param receive: ASGI
    :param send: ASGI
    """
    await _page()(scope, receive, send)


class LwaPlugin(AirflowPlugin):
    """What this provider adds to Airflow's web interface; nothing before Airflow 3.1."""

    name = "lwa"
    fastapi_apps = (
        [{"app": page_when_asked, "url_prefix": URL_PREFIX, "name": "Amazon credentials"}]
        if _SHOWS_PAGES
        else []
    )
    external_views = (
        [
            {
                "name": "Amazon credentials",
                "href": f"{URL_PREFIX.lstrip('/')}/credentials",  # relative: Airflow may live below a path
                "destination": "nav",
                "category": "browse",
                "url_route": "lwa-credentials",
            }
        ]
        if _SHOWS_PAGES
        else []
    )
