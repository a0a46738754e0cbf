"""
Guesses at a companion's login, so many a second, by a process that costs next to nothing itself.

Bare sockets on one epoll, requests that were made before, and the lowest priority (nice 19): where attacker and
attacked share the processors, what the attacker computes would otherwise be taken from the defence, which it is not
where the attacker has machines of its own. What was reached is told: connections begun, and those that had an answer.

Every guess is a connection of its own, from the next of the addresses, as real ones are; each is reset at its end, so
that no port waits.
"""

from __future__ import annotations

import base64
import os
import resource
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

import attrs

PATIENCE: Final = 20.0
"""Seconds after which an answer is not waited for any more."""

NICE: Final = 19
MAX_OPEN: Final = 4000
"""Connections at once; beyond that, guesses wait."""

RESET: Final = struct.pack("ii", 1, 0)
IP_BIND_ADDRESS_NO_PORT: Final = 24
"""Source: ip(7); its number is not in Python's socket module."""


@attrs.frozen
class Guessed:
    """
    What came of the guesses.

    Args:
        begun: connections.
        seconds: in which they were begun.
        answers: how many had which answer; "closed" is none.
        cpu: processors that it took.
    """

    begun: int
    seconds: float
    answers: Counter[str]
    cpu: float

    @property
    def answered(self) -> int:
        """Guesses that had any answer."""
        return sum(times for answer, times in self.answers.items() if answer.isdigit())


def said(command: str, port: int) -> bytes:
    """What is said to a companion at once: the login, and for HTTP a small post."""
    if command == "relay":
        return b"EHLO guess\r\nAUTH PLAIN " + base64.b64encode(b"\0somebody\0guess") + b"\r\n"
    token = base64.b64encode(b"somebody:guess").decode()
    return (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ).encode()


def guess(pipe: Connection, command: str, port: int, rate: float, seconds: float, hosts: Sequence[str]) -> None:
    """Guess for a while; what came of it goes through the pipe."""
    os.nice(NICE)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pipe.send(_Guesser(command, port, hosts).guess(rate, seconds))


class _Guesser:
    def __init__(self, command: str, port: int, hosts: Sequence[str]) -> None:
        self._smtp = command == "relay"
        self._said = said(command, port)
        self._to = ("127.0.0.1", port)
        self._hosts = hosts
        self._epoll = select.epoll()
        self._open: dict[int, tuple[socket.socket, float]] = {}
        self._answers: Counter[str] = Counter()

    def guess(self, rate: float, seconds: float) -> Guessed:
        """So many a second, for so long."""
        began = swept = time.monotonic()
        begun = 0
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * rate)
            while begun < due and len(self._open) < MAX_OPEN:
                self._begin(self._hosts[begun % len(self._hosts)], now)
                begun += 1
            for number, event in self._epoll.poll(0.002):
                self._happened(number, event)
            if now - swept > 1.0:
                swept = now
                for number in [each for each, (_, since) in self._open.items() if now - since > PATIENCE]:
                    self._end(number, "no answer")
        return Guessed(begun, time.monotonic() - began, self._answers, time.process_time() / seconds)

    def _begin(self, host: str, now: float) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        try:
            client.bind((host, 0))
            client.connect_ex(self._to)
            self._open[client.fileno()] = client, now
            # Over HTTP it speaks as soon as it is connected, over SMTP when it is greeted.
            self._epoll.register(client.fileno(), select.EPOLLIN if self._smtp else select.EPOLLOUT)
        except OSError as error:
            client.close()
            self._answers[type(error).__name__] += 1

    def _happened(self, number: int, event: int) -> None:
        client, _ = self._open[number]
        try:
            if event & select.EPOLLIN:
                heard = client.recv(2000)
                self._heard(number, client, heard)
            elif event & select.EPOLLOUT:
                client.send(self._said)
                self._epoll.modify(number, select.EPOLLIN)
            else:
                client.recv(1)
        except BlockingIOError:
            pass
        except OSError:
            self._end(number, "closed")

    def _heard(self, number: int, client: socket.socket, heard: bytes) -> None:
        if not heard:
            self._end(number, "closed")
        elif not self._smtp:
            self._end(number, heard[9:12].decode("ascii", "replace"))
        elif heard[:3] == b"220":
            client.send(self._said)
        else:
            code = heard[heard.rfind(b"\n", 0, -1) + 1 :][:3].decode("ascii", "replace")
            if code != "250":
                self._end(number, code)

    def _end(self, number: int, answer: str) -> None:
        self._answers[answer] += 1
        client, _ = self._open.pop(number)
        with suppress(OSError, ValueError):
            self._epoll.unregister(number)
        client.close()
