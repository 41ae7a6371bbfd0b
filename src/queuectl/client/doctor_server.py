"""Checks a database server, for doctor.py: each finding has a fix."""

from __future__ import annotations

from collections.abc import Iterator

from queuectl.domain.finding import NOTE, OK, PROBLEM, WARNING, Finding
from queuectl.store.postgres.health import Health

CLOCK_OFF_S = 5.0
TRANSACTION_OLD_S = 600.0


def judged(url: str, found: Health) -> Iterator[Finding]:
    """Finds settings and states of a server that break promises or cost speed."""
    yield from _reached(url, found)
    yield from _durability(found)
    yield from _writing(found)
    yield from _standbys(found)
    if found.oldest_s is not None and found.oldest_s > TRANSACTION_OLD_S:
        what = (
            f"a transaction has been open for {found.oldest_s / 60:.0f} minutes: dead rows cannot be cleaned away, and "
            f"claims slow down ({found.dead_rows} are waiting)"
        )
        fix = f"end it: {found.oldest_ended_by} and set idle_in_transaction_session_timeout"
        yield Finding(WARNING, "transaction_old", what, fix)
    yield from _rights_of_role(found)


def _reached(url: str, found: Health) -> Iterator[Finding]:
    """Which server answers, and how it is reached."""
    what = f"{url}: PostgreSQL {found.version}"
    fix = "use PostgreSQL 14 or newer" if found.is_old else ""
    yield Finding(PROBLEM if found.is_old else OK, "server_too_old" if found.is_old else "server", what, fix)
    if found.is_pooled:
        what = "a pooler is in between: new jobs are found by looking twice a second, not by notice"
        yield Finding(NOTE, "pooler", what, "for the quickest starts give workers the server's own address")
    if abs(found.clock_ahead_s) > CLOCK_OFF_S:
        what = f"this machine's clock and the server's are {abs(found.clock_ahead_s):.0f}s apart; the server's counts"
        yield Finding(NOTE, "clock_apart", what, "keep both in step, e.g. with chrony")


def _durability(found: Health) -> Iterator[Finding]:
    """Whether what is committed survives the server's crash."""
    if not found.fsync:
        yield Finding(PROBLEM, "fsync_off", "the server does not sync to disk (fsync = off)", "set fsync = on")
    if found.synchronous_commit in ("off", "local"):
        what = (
            f"synchronous_commit is {found.synchronous_commit}: queuectl asks for more by itself, but what an "
            "application enqueues in its own transaction may be lost"
        )
        fix = "ALTER ROLE … SET synchronous_commit = on, for the applications' roles"
        yield Finding(NOTE, "synchronous_commit_off", what, fix)


def _standbys(found: Health) -> Iterator[Finding]:
    """Finds whether commits survive a failover."""
    if found.async_standbys and not found.sync_standbys and not found.named_standbys:
        what = (
            "the standbys are asynchronous: after a failover the last commits may be gone, acknowledged jobs and "
            "fencing tokens (QUEUECTL_LEASE) among them"
        )
        yield Finding(WARNING, "standby_asynchronous", what, "name one in synchronous_standby_names")
    if found.hidden_standbys:
        what = "the server has standbys, but this role may not see whether commits wait for one"
        yield Finding(NOTE, "standby_hidden", what, "GRANT pg_monitor TO this role; or ask the server's administrator")


def _writing(found: Health) -> Iterator[Finding]:
    """Finds what keeps a server from writing or committing."""
    if found.is_standby:
        what = "the server is a standby: nothing can be written"
        fix = "connect to the primary server, e.g. with ?target_session_attrs=read-write"
        yield Finding(PROBLEM, "server_is_standby", what, fix)
    elif found.is_read_only_by_default:
        what = "sessions are read-only by default (default_transaction_read_only); queuectl writes all the same"
        fix = "if a full disk is why, free some space; then: ALTER DATABASE … RESET default_transaction_read_only"
        yield Finding(WARNING, "read_only_by_default", what, fix)
    if found.named_standbys and not found.sync_standbys and not found.hidden_standbys:
        what = f"commits wait for a synchronous standby ({found.named_standbys}), and none is connected"
        fix = "start it, or: ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();"
        yield Finding(PROBLEM, "standby_missing", what, fix)
    for table in found.unidentified_tables:
        name = f'"{found.schema}".{table}'
        what = f"{name} is published without a replica identity: its rows cannot be changed or removed"
        fix = f"ALTER TABLE {name} REPLICA IDENTITY FULL;"
        yield Finding(PROBLEM, "replica_identity_missing", what, fix)


def _rights_of_role(found: Health) -> Iterator[Finding]:
    """Finds rights that the role lacks."""
    if found.closed_tables:
        what = f"the role {found.role} may not read and write all tables of the store: {', '.join(found.closed_tables)}"
        granted = f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{found.schema}" TO "{found.role}";'
        fix = f"as their owner: {granted}"
        yield Finding(PROBLEM, "role_lacks_rights", what, fix)
    if not found.sees_all:
        what = f"the role {found.role} cannot see others' transactions and standbys: they were not checked"
        yield Finding(NOTE, "role_sees_part", what, f'as a superuser: GRANT pg_read_all_stats TO "{found.role}";')
    if not found.may_migrate:
        what = "this role may use the store, but could not bring it up to date for a newer queuectl"
        yield Finding(NOTE, "role_cannot_migrate", what, "then let the schema's owner run: queuectl init --db URL")
