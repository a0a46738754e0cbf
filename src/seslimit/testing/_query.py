"""
The first version of the API, in which many programs still send: forms in, XML out.

Pure: the content of a request becomes what the second version would have been asked, and a reply of the second version
becomes one of the first. So both share one service, one plan of faults and one set of words.

Source:
    Amazon SES API reference 2010-12-01 (SendEmail, SendRawEmail, GetSendQuota, common errors); read 2026-11.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import attrs

from ._faults import APIReply, Stage

NAMESPACE: Final = "http://ses.amazonaws.com/doc/2010-12-01/"

STAGES: Final = {"SendEmail": Stage.SEND, "SendRawEmail": Stage.SEND, "GetSendQuota": Stage.ACCOUNT}

CODES: Final = {
    "TooManyRequestsException": (400, "Throttling"),
    "BadRequestException": (400, "InvalidParameterValue"),
    "MessageRejected": (400, "MessageRejected"),
    "UnrecognizedClientException": (403, "InvalidClientTokenId"),
    "ExpiredTokenException": (403, "ExpiredToken"),
    "AccessDeniedException": (403, "AccessDenied"),
    "UnknownOperationException": (400, "InvalidAction"),
}
"""An error of version 2 → status and code of version 1; any other keeps its name."""


@attrs.frozen
class Query:
    """
    A request of version 1.

    Args:
        action: what it asks for; empty where it does not say.
        fields: its other parameters, each once.
    """

    action: str
    fields: dict[str, str]

    @classmethod
    def read(cls, content: bytes | None) -> Query:
        """Read the form of a request."""
        try:
            pairs = parse_qs((content or b"").decode("ascii"), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            pairs = {}
        fields = {name: values[-1] for name, values in pairs.items()}
        return cls(fields.pop("Action", ""), fields)

    @property
    def stage(self) -> Stage | None:
        """What it is a step of; None for an action that the simulator has not."""
        return STAGES.get(self.action)

    def as_version_2(self) -> bytes:
        """The same request in version 2."""
        return json.dumps(self._raw() if self.action == "SendRawEmail" else self._simple()).encode()

    def _raw(self) -> dict[str, Any]:
        return {
            "FromEmailAddress": self.fields.get("Source"),
            "Destination": {"ToAddresses": self._members("Destinations")},
            "Content": {"Raw": {"Data": self.fields.get("RawMessage.Data")}},
        }

    def _simple(self) -> dict[str, Any]:
        body = {
            kind: {"Data": self.fields[name]}
            for kind in ("Text", "Html")
            if (name := f"Message.Body.{kind}.Data") in self.fields
        }
        lists = ("ToAddresses", "CcAddresses", "BccAddresses")
        return {
            "FromEmailAddress": self.fields.get("Source"),
            "ReplyToAddresses": self._members("ReplyToAddresses"),
            "Destination": {name: self._members(f"Destination.{name}") for name in lists},
            "Content": {"Simple": {"Subject": {"Data": self.fields.get("Message.Subject.Data")}, "Body": body}},
        }

    def _members(self, name: str) -> list[str]:
        pattern = re.compile(rf"{re.escape(name)}\.member\.([0-9]{{1,4}})")
        found = {int(match[1]): value for key, value in self.fields.items() if (match := pattern.fullmatch(key))}
        return [found[number] for number in sorted(found)]

    def written(self, reply: APIReply, request_id: str) -> APIReply:
        """A reply of version 2, as version 1 has it."""
        if reply.error is not None or reply.status >= 400:
            status, code = CODES.get(reply.error or "", (reply.status, reply.error or "InternalFailure"))
            kind = "Sender" if status < 500 else "Receiver"
            body = (
                f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{kind}</Type><Code>{escape(code)}</Code>'
                f"<Message>{escape(reply.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            )
            return APIReply(status, body=body.encode())
        try:
            told = json.loads(reply.payload())
        except ValueError:
            return reply  # a fault's own bytes
        figures = told.get("SendQuota", told) if isinstance(told, dict) else {}
        values = "".join(
            f"<{name}>{escape(str(value))}</{name}>"
            for name, value in figures.items()
            if isinstance(value, str | float | int)
        )
        body = (
            f'<{self.action}Response xmlns="{NAMESPACE}"><{self.action}Result>{values}</{self.action}Result>'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{self.action}Response>"
        )
        return APIReply(reply.status, body=body.encode())
