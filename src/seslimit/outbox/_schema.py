"""
The tables of an outbox, and how a database that has older ones comes to have these.

A migration is a list of statements that never changes once it was released; a database remembers how many it has seen.
It must not know what the tables are used for.

Invariants: migrations only go forward, in order, each once, in one transaction with the number that says so; a database
that has seen more than are known here is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from .._model.journal import JournalError
from ._values import ENDS, State

metadata = sa.MetaData()

_Moment = sa.Double
"""Seconds since the epoch."""

schema = sa.Table("seslimit_schema", metadata, sa.Column("version", sa.Integer, nullable=False))

contents = sa.Table(
    "seslimit_contents",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("used_at", _Moment, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
"""Each content once, however many messages have it."""

messages = sa.Table(
    "seslimit_messages",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("mail_from", sa.Text, nullable=False),
    sa.Column("recipients", sa.Text, nullable=False),
    sa.Column("cost", sa.Integer, nullable=False),
    sa.Column("content", sa.BigInteger, nullable=False),
    sa.Column("lane", sa.Text),
    sa.Column("priority", sa.Double, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("begun", sa.Integer, nullable=False),
    sa.Column("not_before", _Moment, nullable=False),
    sa.Column("added_at", _Moment, nullable=False),
    sa.Column("first_at", _Moment, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("throttles", sa.Integer, nullable=False),
    sa.Column("unknowns", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("recent", sa.Text),
    sa.Column("ended_at", _Moment),
    sa.Column("message_id", sa.Text),
    sa.Column("refused", sa.Text),
    sa.Column("reply", sa.Text),
    sqlite_autoincrement=True,
)
"""One row a message. `id` is its place in the queue, `begun` how often it was handed over."""


def state_is(state: State) -> sa.ColumnElement[bool]:
    """Whether a message is in a state; written out, so that the database sees which partial index fits."""
    return messages.c.state == sa.literal_column(f"'{state.value}'")


sa.Index(
    "seslimit_messages_ready",
    messages.c.priority.desc(),
    messages.c.id,
    sqlite_where=state_is(State.QUEUED),
    postgresql_where=state_is(State.QUEUED),
)
sa.Index(
    "seslimit_messages_later",
    messages.c.not_before,
    sqlite_where=state_is(State.LATER),
    postgresql_where=state_is(State.LATER),
)
sa.Index(
    "seslimit_messages_held",
    messages.c.owner,
    sqlite_where=messages.c.owner.is_not(None),
    postgresql_where=messages.c.owner.is_not(None),
)
sa.Index(
    "seslimit_messages_ended",
    messages.c.state,
    messages.c.ended_at,
    messages.c.cost,
    sqlite_where=messages.c.ended_at.is_not(None),
    postgresql_where=messages.c.ended_at.is_not(None),
)
sa.Index("seslimit_messages_content", messages.c.content)

owners = sa.Table(
    "seslimit_owners",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("until", _Moment, nullable=False),
)
"""Who has leased messages, and until when if it is not heard of again: one row to renew, however many messages."""

days = sa.Table(
    "seslimit_days",
    metadata,
    sa.Column("minute", sa.BigInteger, primary_key=True),
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("recipients", sa.Integer, nullable=False),
)
"""Recipients accepted in a minute, by whom: what a day was used for outlives the messages, and costs one row."""

feedback = sa.Table(
    "seslimit_feedback",
    metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("recipient", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("at", _Moment, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

suppressed = sa.Table(
    "seslimit_suppressed",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", _Moment, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE seslimit_contents (
            id {serial}, digest {bytes} NOT NULL UNIQUE, size INTEGER NOT NULL, used_at DOUBLE PRECISION NOT NULL,
            content {bytes} NOT NULL)""",
        """CREATE TABLE seslimit_messages (
            id {serial}, name TEXT NOT NULL UNIQUE, mail_from TEXT NOT NULL, recipients TEXT NOT NULL,
            cost INTEGER NOT NULL, content BIGINT NOT NULL, lane TEXT, priority DOUBLE PRECISION NOT NULL,
            state TEXT NOT NULL, owner TEXT, begun INTEGER NOT NULL, not_before DOUBLE PRECISION NOT NULL,
            added_at DOUBLE PRECISION NOT NULL, first_at DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL,
            throttles INTEGER NOT NULL, unknowns INTEGER NOT NULL, outcome TEXT, recent TEXT,
            ended_at DOUBLE PRECISION, message_id TEXT, refused TEXT, reply TEXT)""",
        "CREATE INDEX seslimit_messages_ready ON seslimit_messages (priority DESC, id) WHERE state = 'queued'",
        "CREATE INDEX seslimit_messages_later ON seslimit_messages (not_before) WHERE state = 'later'",
        "CREATE INDEX seslimit_messages_held ON seslimit_messages (owner) WHERE owner IS NOT NULL",
        "CREATE INDEX seslimit_messages_ended ON seslimit_messages (state, ended_at, cost) WHERE ended_at IS NOT NULL",
        "CREATE INDEX seslimit_messages_content ON seslimit_messages (content)",
        "CREATE TABLE seslimit_owners (owner TEXT NOT NULL PRIMARY KEY, until DOUBLE PRECISION NOT NULL)",
        """CREATE TABLE seslimit_days (
            minute BIGINT NOT NULL, owner TEXT NOT NULL, recipients INTEGER NOT NULL, PRIMARY KEY (minute, owner))""",
        """CREATE TABLE seslimit_feedback (
            message_id TEXT NOT NULL, recipient TEXT NOT NULL, kind TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
            detail TEXT NOT NULL, PRIMARY KEY (message_id, recipient, kind))""",
        """CREATE TABLE seslimit_suppressed (
            address TEXT NOT NULL PRIMARY KEY, reason TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
            detail TEXT NOT NULL)""",
    ),
)
"""What makes each version of the tables out of the one before; the first out of nothing."""

_WORDS = {
    "sqlite": {"serial": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "bytes": "BLOB"},
    "postgresql": {"serial": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "bytes": "BYTEA"},
}

_LOCK = 0x5E511_3171
"""Names the lock under which a PostgreSQL database is migrated: any number that nobody else has."""


def version_of(connection: sa.Connection) -> int:
    """The version of the tables; 0 where there are none."""
    if not sa.inspect(connection).has_table(schema.name):
        return 0
    return connection.execute(sa.select(sa.func.max(schema.c.version))).scalar() or 0


def migrate(connection: sa.Connection, steps: Sequence[Sequence[str]] = MIGRATIONS) -> int:
    """
    Bring the tables to the version that is known here, inside the connection's transaction.

    Args:
        connection: to the database.
        steps: the migrations, from the first on.

    Returns:
        the version that was found; 0 for none.

    Raises:
        JournalError: the tables are of a newer version.
    """
    name = connection.dialect.name
    if name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS seslimit_schema (version INTEGER NOT NULL)")
    version = connection.execute(sa.select(sa.func.max(schema.c.version))).scalar() or 0
    if version > len(steps):
        raise JournalError(
            f"the outbox has tables of version {version}, and this seslimit knows those up to {len(steps)}: install "
            "the newer seslimit that made them."
        )
    for statement in (statement for step in steps[version:] for statement in step):
        connection.exec_driver_sql(statement.format(**_WORDS[name]))
    if version == 0 and steps:
        connection.execute(schema.insert(), {"version": len(steps)})
    elif version < len(steps):
        connection.execute(schema.update(), {"version": len(steps)})
    return version


END_WORDS = tuple(state.value for state in ENDS)
