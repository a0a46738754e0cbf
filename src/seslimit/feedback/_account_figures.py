"""
SES's own figures of an account's reputation: what GetAccount says of it, and the two rates that CloudWatch has.

Asks; what they mean is in `_reputation`.

Source:
    SES API v2, GetAccount, `EnforcementStatus`; Amazon SES Developer Guide, "Retrieving Amazon SES event data from
    CloudWatch": `Reputation.BounceRate` and `Reputation.ComplaintRate` of the namespace AWS/SES; read 2026-11.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from .._model.errors import printable

if TYPE_CHECKING:
    from ..transports.ses._transport import SESTransport

RATES = ("Reputation.BounceRate", "Reputation.ComplaintRate")

BACK = timedelta(hours=6)
"""How far back the last value is looked for: the rates are told about once an hour."""

PERIOD = 300
"""Seconds that one value is about."""


LOOK_EVERY = 300.0
"""Seconds between two looks."""

logger = logging.getLogger("seslimit")


async def watch_account(
    transport: SESTransport,
    told: Sequence[Callable[[float, float, str], object]],
    *,
    every: float = LOOK_EVERY,
    cloudwatch: Any = None,
) -> None:
    """
    Look at the figures until cancelled, and tell them; a look that fails is logged, and made again.

    Args:
        transport: names the account.
        told: get the share of bounces, that of complaints, and the enforcement status.
        every: seconds between two looks.
        cloudwatch: as for `account_figures`.
    """
    while True:
        try:
            figures = await account_figures(transport, cloudwatch)
        except OSError as error:
            logger.warning("SES's figures of the account's reputation are not known: %s", printable(str(error)))
        else:
            for tell in told:
                tell(*figures)
        await asyncio.sleep(every)


async def account_figures(transport: SESTransport, cloudwatch: Any = None) -> tuple[float, float, str]:
    """
    The shares of bounces and of complaints, 0 where they are not told, and the enforcement status.

    Args:
        transport: names the account.
        cloudwatch: a client of CloudWatch; a new one when left out.

    Raises:
        OSError: there was no answer, or the credentials may not ask.
    """
    try:
        async with transport.client() as client:
            status = str((await client.get_account()).get("EnforcementStatus", "HEALTHY"))
        if cloudwatch is not None:
            bounces, complaints = await _rates(cloudwatch)
        else:
            session: Any = transport.session or AioSession(profile=transport.profile)
            async with session.create_client("cloudwatch", region_name=transport.region) as own:
                bounces, complaints = await _rates(own)
    except (ClientError, BotoCoreError) as error:
        raise OSError(str(error)) from error
    return bounces, complaints, status


async def _rates(cloudwatch: Any) -> tuple[float, float]:
    now = datetime.now(UTC)
    queries = [
        {
            "Id": f"rate{number}",
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SES", "MetricName": name},
                "Period": PERIOD,
                "Stat": "Average",
            },
        }
        for number, name in enumerate(RATES)
    ]
    told: Mapping[str, Any] = await cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=now - BACK, EndTime=now, ScanBy="TimestampDescending"
    )
    values = {result["Id"]: result["Values"] for result in told["MetricDataResults"]}
    return _latest(values.get("rate0")), _latest(values.get("rate1"))


def _latest(values: Any) -> float:
    return float(values[0]) if values else 0.0
