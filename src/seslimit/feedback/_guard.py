"""
The guard of an account's reputation: hears what is sent and what comes back, and holds what SES would punish.

Counts for each campaign and for the account as a whole; what the figures mean is in `_reputation`. A campaign that is
certainly too bad is refused, message by message, and the others go on; the account is slowed, and held only shortly
before SES would pause it.

Invariants: a hold ends by hand; a message that is refused is unsent, and may be sent later; one event counts once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._model.clearance import CampaignHeld
from .._model.errors import printable
from .._model.message import Message
from .._model.report import Report
from .._pacing.limiter import Limiter
from ._events import Bounce, Complaint, Event, MailInfo, Sent
from ._reputation import Figures, Level, Verdict, Window, judge, judge_told

if TYPE_CHECKING:
    from ..transports.ses._transport import SESTransport

logger = logging.getLogger("seslimit")

VOLUME = 10_000
"""Recipients over which the account is judged. SES tells of a "representative volume" and not how large it is."""

SLOWED = 0.5
"""Share of the rate that is left where the account is slowed."""

LEAST_RATE = 0.1
"""Recipients/s that are left at least: something has to show that it is over."""

CAMPAIGNS = 1000
"""Campaigns that are told apart; the one that was quiet longest is forgotten."""

REMEMBERED = 100_000
"""Messages whose campaign is remembered, for events that come without the message's headers."""

ACCOUNT = "the account"
CEILING = "reputation"

HEADERS = ("X-Listmonk-Campaign", "List-Id")
"""What names the campaign of a message, where its tag `campaign` does not."""

_TAG = re.compile(r"(?:^|[,\s])campaign=([A-Za-z0-9_-]+)")
_HEADER = re.compile(
    rb"^(X-SES-MESSAGE-TAGS|X-Listmonk-Campaign|List-Id)[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_ON_LIST = "OnAccountSuppressionList"
"""Subtype of what SES did not even try to deliver, and does not count."""


def campaign_of(message: Message) -> str | None:
    """The campaign that a message's headers name, or else its lane; None for neither."""
    if isinstance(message.content, bytes):
        head = message.content.partition(b"\r\n\r\n")[0]
        found = {name.lower().decode(): value.decode("utf-8", "replace") for name, value in _HEADER.findall(head)}
    else:
        names = ("X-SES-MESSAGE-TAGS", *HEADERS)
        found = {name.lower(): str(message.content[name]) for name in names if name in message.content}
    if tag := _TAG.search(found.get("x-ses-message-tags", "")):
        return tag[1]
    named = (" ".join(found[name.lower()].split()) for name in HEADERS if found.get(name.lower(), "").strip())
    return next(named, message.lane)


def campaign_in(mail: MailInfo) -> str | None:
    """The campaign of the message that an event is about; None where its headers and tags are not there."""
    if tag := mail.tags.get("campaign"):
        return tag[0]
    return next((" ".join(value.split()) for name in HEADERS if (value := mail.header(name) or "").strip()), None)


class ReputationGuard:
    """
    Warns, slows and holds before SES would.

    Give it to a `Sender` twice, as a hook that counts what is sent and as `guard`, and to a `Feed` as the hook `hear`:
    `Sender(…, hooks=[guard], guard=guard)`, `Feed(hooks=[guard.hear])`. Where there are no events, `watch` looks at
    SES's own figures instead.

    Args:
        limiter: is slowed and held.
        volume: recipients over which the account is judged.
        campaign_of: names the campaign of a message; None for none.
        hooks: each called with the name of what is judged and its verdict, whenever that changes.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        volume: int = VOLUME,
        campaign_of: Callable[[Message], str | None] = campaign_of,
        hooks: Iterable[Callable[[str, Verdict], object]] = (),
    ) -> None:
        self._limiter = limiter
        self._campaign_of = campaign_of
        self._hooks = tuple(hooks)
        self._volume = volume
        self._account = Window(volume)
        self._campaigns: dict[str, Figures] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._told = Verdict()
        self._reports = False
        self._of_message: dict[str, str] = {}
        self._unjudged = 0.0
        self._held_for: str | None = None

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """What is not fine: the name of a campaign, or `the account`, and the verdict."""
        return dict(self._verdicts)

    def figures(self, campaign: str | None = None) -> Figures:
        """What was counted: of a campaign, or of the account's last recipients."""
        return self._account.figures if campaign is None else self._campaigns.get(campaign, Figures())

    def check(self, message: Message) -> None:
        """
        Return where a message may be sent.

        Raises:
            CampaignHeld: its campaign is held.
        """
        if not any(verdict.level is Level.HOLD for verdict in self._verdicts.values()):
            return
        campaign = self._campaign_of(message)
        verdict = None if campaign is None else self._verdicts.get(campaign)
        if verdict is not None and verdict.level is Level.HOLD:
            raise CampaignHeld(f"held, {verdict.reason}")

    def on_event(self, event: object) -> None:
        """Count what a sender has sent."""
        if not isinstance(event, Report) or event.receipt is None:
            return
        self._reports = True
        campaign = self._campaign_of(event.message)
        if campaign is not None:
            self._of_message[event.receipt.message_id] = campaign
            while len(self._of_message) > REMEMBERED:
                del self._of_message[next(iter(self._of_message))]
        self._count(campaign, Figures(sent=event.message.cost - len(event.refused)))

    async def hear(self, event: Event) -> None:
        """Count what came back: hard bounces and complaints, and what SES sent where no sender tells."""
        campaign = campaign_in(event.mail) or self._of_message.get(event.mail.message_id)
        if isinstance(event, Bounce) and event.permanent and event.bounce_subtype != _ON_LIST:
            self._count(campaign, Figures(bounces=len(event.recipients)))
        elif isinstance(event, Complaint) and event.complaint_subtype != _ON_LIST and event.feedback_type != "not-spam":
            # SES names everybody at the provider who may have complained; one of them did.
            self._count(campaign, Figures(complaints=1))
        elif isinstance(event, Sent) and not self._reports:
            self._count(campaign, Figures(sent=len(event.mail.destination)))

    def told(self, bounces: float, complaints: float, enforcement: str = "HEALTHY") -> None:
        """Take SES's own figures of the account, as shares."""
        self._told = judge_told(bounces, complaints, enforcement)
        self._judge_account()

    def release(self, campaign: str | None = None) -> None:
        """
        Forget what was counted of a campaign, or of the account, and let it send again.

        Args:
            campaign: its name; None for the account.
        """
        if campaign is None:
            self._account, self._told = Window(self._volume), Verdict()
            self._decide(ACCOUNT, Verdict(), by_hand=True)
        else:
            self._campaigns.pop(campaign, None)
            self._decide(campaign, Verdict(), by_hand=True)

    async def watch(self, transport: SESTransport, *, cloudwatch: Any = None) -> None:
        """
        Look at SES's own figures until cancelled: `EnforcementStatus`, and the rates that CloudWatch has.

        Needs `ses:GetAccount` and `cloudwatch:GetMetricData`. A look that fails is logged, and made again.

        Args:
            transport: names the account.
            cloudwatch: a client of CloudWatch; one with the transport's Region and profile when left out.
        """
        from ._account_figures import watch_account

        await watch_account(transport, [self.told], cloudwatch=cloudwatch)

    def _count(self, campaign: str | None, figures: Figures) -> None:
        self._account.add(figures)
        self._unjudged += figures.sent
        if campaign is not None:
            self._campaigns[campaign] = self._campaigns.pop(campaign, Figures()).plus(figures)
            while len(self._campaigns) > CAMPAIGNS:
                del self._campaigns[next(iter(self._campaigns))]
        if figures.sent and self._unjudged < self._volume / 100:
            return  # more recipients alone make nothing worse
        self._unjudged = 0.0
        if campaign is not None:
            self._decide(campaign, judge(self._campaigns[campaign], f"campaign {printable(campaign)}"))
        self._judge_account()

    def _judge_account(self) -> None:
        counted = judge(self._account.figures, ACCOUNT, whole=True)
        self._decide(ACCOUNT, max(self._told, counted, key=lambda verdict: verdict.level))

    def _decide(self, name: str, verdict: Verdict, *, by_hand: bool = False) -> None:
        before = self._verdicts.get(name, Verdict())
        if before.level is Level.HOLD and not by_hand:
            return
        if verdict.level is Level.FINE:
            self._verdicts.pop(name, None)
        else:
            self._verdicts[name] = verdict
        if verdict.level is before.level:
            return
        self._say(name, verdict)
        if name == ACCOUNT:
            self._act(verdict)
        for hook in self._hooks:
            hook(name, verdict)

    def _act(self, verdict: Verdict) -> None:
        if self._held_for is not None and verdict.level is not Level.HOLD:
            self._limiter.release(self._held_for)
            self._held_for = None
        if verdict.level is Level.HOLD:
            self._held_for = verdict.reason
            self._limiter.hold(verdict.reason)
        elif verdict.level is Level.SLOW:
            self._limiter.ceiling(CEILING, max(LEAST_RATE, SLOWED * self._limiter.rate))
        else:
            self._limiter.ceiling(CEILING, None)

    def _say(self, name: str, verdict: Verdict) -> None:
        if verdict.level is Level.FINE:
            logger.warning("the reputation of %s is fine again", printable(name))
            return
        done = {Level.WARN: "", Level.SLOW: "; going on slower", Level.HOLD: "; held until it is released"}
        # A campaign cannot be slowed by itself: what it shares with the others is the account's rate.
        words = done[verdict.level] if name == ACCOUNT or verdict.level is Level.HOLD else ""
        logger.warning("%s%s", verdict.reason, words)
