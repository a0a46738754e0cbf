"""
Ways of counting as they are written: on a command line, in a profile, in an argument of the simulator.

Decides what a name and its figures mean. The ways themselves are in `services`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from .._model.errors import ConfigurationError
from ._schedule import Schedule
from .services import (
    SERVICES,
    ByChance,
    Counting,
    DebtBucket,
    FixedWindow,
    SlidingWindow,
    StaleBucket,
    TwoWindows,
    WithRival,
    front_ends,
    noisy,
)

NOISE_LENGTH: Final = 3600.0
"""Seconds for which the rate of a noisy service is drawn; it stays at the last one."""

Figures = Mapping[str, float]
_Making = Callable[[Schedule, int, Figures], Counting]


@attrs.frozen
class _Kind:
    """A way of counting: its figures with their defaults, what each has to be, and how it is made."""

    figures: Figures
    make: _Making


def _bucket(rate: Schedule, figures: Figures) -> DebtBucket:
    return DebtBucket(rate, figures["depth"], figures.get("least", 1.0), figures.get("refusal_cost", 0.0))


KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "bucket": _Kind(
            {"depth": 1.0, "least": 1.0, "refusal_cost": 0.0}, lambda rate, _, figures: _bucket(rate, figures)
        ),
        "sliding": _Kind({"seconds": 1.0}, lambda rate, _, figures: SlidingWindow(rate, figures["seconds"])),
        "fixed": _Kind(
            {"seconds": 1.0, "offset": 0.37},
            lambda rate, _, figures: FixedWindow(rate, figures["seconds"], figures["offset"]),
        ),
        "two-windows": _Kind({"seconds": 1.0}, lambda rate, _, figures: TwoWindows(rate, figures["seconds"])),
        "front-ends": _Kind(
            {"number": 4.0, "depth": 1.0},
            lambda rate, seed, figures: front_ends(int(figures["number"]), rate, seed, figures["depth"]),
        ),
        "stale": _Kind(
            {"age": 0.5, "depth": 1.0}, lambda rate, _, figures: StaleBucket(_bucket(rate, figures), figures["age"])
        ),
        "chance": _Kind(
            {"share": 0.01, "depth": 1.0},
            lambda rate, seed, figures: ByChance(_bucket(rate, figures), figures["share"], seed),
        ),
        "rival": _Kind(
            {"every": 1.0, "recipients": 1.0, "depth": 1.0},
            lambda rate, seed, figures: WithRival(
                _bucket(rate, figures), figures["every"], int(figures["recipients"]), seed=seed
            ),
        ),
        "noisy": _Kind(
            {"spread": 0.2, "every": 2.0, "depth": 1.0},
            lambda rate, seed, figures: _bucket(
                noisy(rate.at(0.0), figures["spread"], figures["every"], NOISE_LENGTH, seed), figures
            ),
        ),
    }
)
"""The kinds and their figures: seconds, tokens, shares and numbers, as the classes in `services` describe them."""

_POSITIVE: Final = frozenset({"seconds", "number", "every", "recipients"})
_SHARES: Final = frozenset({"share", "spread"})


@attrs.frozen
class CountingSpec:
    """
    A way of counting by its name and figures.

    Args:
        kind: one of `KINDS`.
        figures: those that differ from the kind's defaults.

    Raises:
        ConfigurationError: there is no such kind or figure, or a figure is out of range.
    """

    kind: str = "bucket"
    figures: Figures = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(f"there is no counting {self.kind!r}: it is one of {', '.join(KINDS)}.")
        known = KINDS[self.kind].figures
        for name, value in self.figures.items():
            if name not in known:
                raise ConfigurationError(f"counting {self.kind} has no {name!r}: it has {', '.join(known)}.")
            _check(name, value)

    @classmethod
    def parse(cls, text: str) -> CountingSpec:
        """
        Read `bucket`, `bucket:depth=0.2`, `chance:share=0.02,depth=1`.

        Raises:
            ConfigurationError: it is not of this form, or see above.
        """
        kind, _, rest = text.partition(":")
        figures: dict[str, float] = {}
        for part in rest.split(",") if rest else ():
            name, equals, value = part.partition("=")
            try:
                figures[name.strip()] = float(value)
            except ValueError:
                equals = ""
            if not equals:
                raise ConfigurationError(f"{part!r} in counting {text!r} is not of the form name=number.") from None
        return cls(kind.strip(), figures)

    def __str__(self) -> str:
        figures = ",".join(f"{name}={value:g}" for name, value in self.figures.items())
        return f"{self.kind}:{figures}" if figures else self.kind

    def make(self, rate: Schedule, seed: int, **defaults: float) -> Counting:
        """
        A service that counts in this way.

        Args:
            rate: recipients/s.
            seed: of what is random in it.
            defaults: figures that hold where the kind has them and nothing else is said.
        """
        kind = KINDS[self.kind]
        known = {name: value for name, value in defaults.items() if name in kind.figures}
        return kind.make(rate, seed, {**kind.figures, **known, **self.figures})


def counting_of(counting: Counting | CountingSpec | str, rate: Schedule, seed: int, **defaults: float) -> Counting:
    """
    What a caller gave as a way of counting, made; the name of a member of `services.SERVICES` is one too.

    Raises:
        ConfigurationError: it is a text that names none.
    """
    if isinstance(counting, str):
        if ":" not in counting and counting not in KINDS and counting in SERVICES:
            return SERVICES[counting](rate, seed)
        counting = CountingSpec.parse(counting)
    return counting.make(rate, seed, **defaults) if isinstance(counting, CountingSpec) else counting


def _check(name: str, value: float) -> None:
    if not math.isfinite(value) or value < 0 or (name in _POSITIVE and value == 0) or (name in _SHARES and value >= 1):
        above = "above 0" if name in _POSITIVE else "from 0 to below 1" if name in _SHARES else "0 or more"
        raise ConfigurationError(f"{name} of a counting is {above}, not {value:g}.")
    if name in ("number", "recipients") and value != int(value):
        raise ConfigurationError(f"{name} of a counting is a whole number, not {value:g}.")
