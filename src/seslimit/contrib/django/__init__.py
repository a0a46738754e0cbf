"""
Django's e-mail through SES, at the account's rate: `EMAIL_BACKEND = "seslimit.contrib.django.EmailBackend"`.

Needs the extra: `pip install 'seslimit[django]'`.
"""

from __future__ import annotations

try:
    import django  # noqa: F401  # only whether it is there
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("Django is not installed: run  pip install 'seslimit[django]'.", name="django") from error

from ._backend import EmailBackend

__all__ = ["EmailBackend"]
