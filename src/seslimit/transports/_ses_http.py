"""
The HTTP of one request to the API: what it is answered with is its answer, also where that points elsewhere.

aiohttp follows redirections, up to ten of them, and repeats the whole request at each after a 307 or a 308: each
perhaps a message sent twice. Neither aiobotocore nor botocore has an option for it.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession


class UnredirectedSession(AIOHTTPSession):  # type: ignore[misc] # aiobotocore has no types
    """aiobotocore's HTTP session, which makes one request and no second."""

    async def _get_session(self, proxy_url: str | None) -> Any:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=partial(session.request, allow_redirects=False))
