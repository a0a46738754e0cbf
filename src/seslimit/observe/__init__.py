"""
See what a program that sends is doing: hooks for Prometheus, OpenTelemetry and logging, and a live page.

All of them hear the events of a sender or a limiter. What needs another package is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._model.errors import ConfigurationError
from ._counts import Counts
from ._log import JSONFormatter, LogHook
from ._observer import Observer
from ._state import HasState
from ._timeline import Second, Timeline
from ._web import WebServer, serve

if TYPE_CHECKING:
    from ._otel import OpenTelemetryHook
    from ._prometheus import PrometheusHook

_LATER = {
    "OpenTelemetryHook": ("_otel", "opentelemetry", "otel"),
    "PrometheusHook": ("_prometheus", "prometheus_client", "prometheus"),
}
"""Names that need another package: the module, the package, and the extra that brings it."""

__all__ = [
    "Counts",
    "HasState",
    "JSONFormatter",
    "LogHook",
    "Observer",
    "OpenTelemetryHook",
    "PrometheusHook",
    "Second",
    "Timeline",
    "WebServer",
    "serve",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, package, extra = _LATER[name]
    try:
        return getattr(import_module(f".{module}", __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ConfigurationError(f"{name} needs the package {package}: run  pip install 'seslimit[{extra}]'.") from None
