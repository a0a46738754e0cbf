"""
How the simulator's events leave it: posted as SNS posts, signed, or put into a queue of SQS.

As SNS does, a post that was not answered with success is made again, later and later; one that was refused for good
(4xx) is not. Nothing waits for an event: they go out beside the mail that comes in.

Invariants: an event is sent as often as the rules say, or until the simulator closes; the envelope of a copy is the
same, so that whoever believes it once believes it again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs

from .._model.errors import ConfigurationError
from ._events import Aftermath, EventRules, envelope
from ._ledger import Submission

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

AT_ONCE: Final = 20
"""Posts under way at the same time."""

TOLD: Final = 10_000
"""Bounces and complaints that are kept for who wants to compare."""

WAITS: Final = (0.2, 20.0)
"""Seconds before the first repetition of a post, and at most; doubled from one to the other."""

CERTIFICATE_URL: Final = (
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-5e51111715e511111715e51111715e51.pem"
)
"""What an envelope names: SNS's host, as everybody insists on, and a certificate that is not there."""

_SIGNED: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")


@attrs.define
class EventCounts:
    """
    What the simulator has told.

    Args:
        hard, soft, complaints, deliveries: events, each counted once.
        sent: posts and messages that were taken, copies included.
        again: posts that were made once more.
        refused: posts that were refused for good.
    """

    hard: int = 0
    soft: int = 0
    complaints: int = 0
    deliveries: int = 0
    sent: int = 0
    again: int = 0
    refused: int = 0


class Events:
    """
    Sends the events of one simulator.

    Args:
        rules: which, and where to.
        seed: of everything random.
    """

    def __init__(self, rules: EventRules, seed: int = 0) -> None:
        self.rules = rules
        self.counts = EventCounts()
        self.told: deque[dict[str, Any]] = deque(maxlen=TOLD)
        """The last bounces and complaints, each once, as documents."""
        self._aftermath = Aftermath(rules, seed)
        self._chance = random.Random(seed + 1)
        self._due: asyncio.PriorityQueue[tuple[float, int, int, str]] = asyncio.PriorityQueue()
        self._number = 0
        self._signer: _Signer | None = None
        self._stack = AsyncExitStack()
        self._workers: list[asyncio.Task[None]] = []

    @property
    def certificate(self) -> bytes:
        """The certificate that posts are signed with, in PEM."""
        if self._signer is None:
            self._signer = _Signer.made(self.rules.certificate)
        return self._signer.certificate

    async def open(self) -> None:
        """
        Begin to send.

        Raises:
            ConfigurationError: the URL is wrong, a queue is not there, or an extra is missing.
        """
        self._due = asyncio.PriorityQueue()
        if self.rules.url.startswith(("http://", "https://")):
            _ = self.certificate
            post = await self._poster()
        elif self.rules.url.startswith("sqs://"):
            post = await self._queuer()
        else:
            raise ConfigurationError("events go to http://HOST:PORT/sns or to sqs://QUEUE?region=…")
        self._workers = [asyncio.create_task(self._work(post)) for _ in range(AT_ONCE)]

    async def aclose(self) -> None:
        """Send nothing any more."""
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        self._workers = []
        await self._stack.aclose()

    async def join(self) -> None:
        """Return when everything that was to be told so far has been taken, or refused for good."""
        await self._due.join()

    def accepted(self, message_id: str, submission: Submission) -> None:
        """A message was accepted: tell what becomes of it."""
        at = datetime.now(UTC)
        for document in self._aftermath.of(message_id, submission, at):
            self._count(document)
            text = self._packed(document, at)
            for _ in range(self.rules.copies):
                self._put(self._chance.uniform(0.0, self.rules.spread), text)

    def _count(self, document: dict[str, Any]) -> None:
        kind = document["eventType"]
        if kind == "Delivery":
            self.counts.deliveries += 1
            return
        self.told.append(document)
        if kind == "Complaint":
            self.counts.complaints += 1
        elif document["bounce"]["bounceType"] == "Permanent":
            self.counts.hard += 1
        else:
            self.counts.soft += 1

    def _packed(self, document: dict[str, Any], at: datetime) -> str:
        if self.rules.raw and self._signer is None:
            return json.dumps(document)
        identity = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        fields = envelope(document, self.rules.topic, at, identity)
        return json.dumps(fields if self._signer is None else self._signer.signed(fields))

    def _put(self, wait: float, text: str, tries: int = 0) -> None:
        self._number += 1
        self._due.put_nowait((asyncio.get_running_loop().time() + wait, self._number, tries, text))

    async def _work(self, post: Callable[[str], Awaitable[int]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            when, _, tries, text = await self._due.get()
            await asyncio.sleep(when - loop.time())
            status = await post(text)
            if 200 <= status < 300:
                self.counts.sent += 1
            elif 400 <= status < 500 and status != 429:
                self.counts.refused += 1
            else:
                self.counts.again += 1
                first, longest = WAITS
                self._put(min(longest, first * 2.0**tries) * self._chance.uniform(0.5, 1.0), text, tries + 1)
            self._due.task_done()

    async def _poster(self) -> Callable[[str], Awaitable[int]]:
        client = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15), cookie_jar=aiohttp.DummyCookieJar())
        )
        headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}

        async def post(text: str) -> int:
            try:
                async with client.post(self.rules.url, data=text.encode(), headers=headers) as answer:
                    await answer.read()
                    return answer.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                return 0

        return post

    async def _queuer(self) -> Callable[[str], Awaitable[int]]:
        from aiobotocore.session import AioSession
        from botocore.exceptions import BotoCoreError, ClientError

        from ..feedback import SQSOptions

        options = SQSOptions.from_url(self.rules.url)
        session: Any = AioSession()
        try:
            client = await self._stack.enter_async_context(
                session.create_client("sqs", region_name=options.region, endpoint_url=options.endpoint_url)
            )
            queue = (await client.get_queue_url(QueueName=options.queue))["QueueUrl"]
        except (BotoCoreError, ClientError) as error:
            await self._stack.aclose()
            raise ConfigurationError(f"the queue {options.queue} cannot be used: {error}") from error

        async def post(text: str) -> int:
            try:
                await client.send_message(QueueUrl=queue, MessageBody=text)
            except (BotoCoreError, ClientError, aiohttp.ClientError, OSError):
                return 0
            return 200

        return post


@attrs.frozen(eq=False)
class _Signer:
    """A key, and the certificate for it."""

    key: RSAPrivateKey
    certificate: bytes

    @classmethod
    def made(cls, file: Path | None) -> _Signer:
        """
        The one in a file; a new one, which the file then has, where there is none.

        Raises:
            ConfigurationError: the file is something else, or the package cryptography is not installed.
        """
        try:
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ModuleNotFoundError:
            raise ConfigurationError(
                "signed events need the package cryptography: run  pip install 'seslimit[feedback]'."
            ) from None
        if file is None or not file.exists():
            made, text = _new_signer()
            if file is not None:
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as out:
                    out.write(text)
            return made
        text = file.read_bytes()
        try:
            key: Any = load_pem_private_key(text, None)
        except ValueError:
            raise ConfigurationError(f"{file} has no key in PEM: name a file that is not there yet.") from None
        return cls(key, text[text.index(b"-----BEGIN CERTIFICATE") :])

    def signed(self, fields: dict[str, str]) -> dict[str, str]:
        """The fields with a signature over them, as SNS makes it."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        text = "".join(f"{name}\n{fields[name]}\n" for name in _SIGNED if name in fields)
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return fields | {
            "SignatureVersion": "2",
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        }


def _new_signer() -> tuple[_Signer, bytes]:
    """A signer, and the text of its file: the key, and the certificate behind it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return _Signer(key, certificate), own + certificate
