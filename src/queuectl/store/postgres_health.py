"""What a PostgreSQL server says about itself, as far as it matters to a queue; `doctor` judges it."""

from __future__ import annotations

from typing import NamedTuple

from queuectl.clock import SystemClock
from queuectl.store.postgres_connection import Address, Line, translated

QUERY = """
SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
       pg_backend_pid(), extract(epoch FROM clock_timestamp())::double precision,
       current_setting('synchronous_commit'), current_setting('fsync') = 'on',
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'async'),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL),
       (SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::double precision
        FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()),
       (SELECT pid FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
        ORDER BY xact_start LIMIT 1),
       has_schema_privilege(current_user, %(schema)s, 'CREATE'),
       (SELECT n_dead_tup FROM pg_stat_user_tables WHERE schemaname = %(schema)s AND relname = 'jobs')
"""


class Health(NamedTuple):
    """`clock_ahead_s`: how far the server's clock is before this machine's. `oldest_s`: the age of the oldest
    transaction of another session, `oldest_pid` its process: no row that died since can be cleaned away.
    `hidden_standbys`: those of which this role may not see how they follow."""

    version: str
    is_old: bool
    is_pooled: bool
    clock_ahead_s: float
    synchronous_commit: str
    fsync: bool
    async_standbys: int
    sync_standbys: int
    hidden_standbys: int
    oldest_s: float | None
    oldest_pid: int | None
    may_migrate: bool
    dead_rows: int


def health(line: Line, address: Address) -> Health:
    """Asks the server."""
    with translated(address):
        here = SystemClock().now()
        row = line.execute(QUERY, {"schema": address.schema}).fetchone()
        assert row is not None
        number, version, pid, at, synchronous, fsync, *standbys, oldest_s, oldest_pid, may, dead = row
        return Health(
            version=version, is_old=number < 140000, is_pooled=pid != line.open().info.backend_pid,
            clock_ahead_s=at - here, synchronous_commit=synchronous, fsync=fsync, async_standbys=standbys[0],
            sync_standbys=standbys[1], hidden_standbys=standbys[2], oldest_s=oldest_s, oldest_pid=oldest_pid,
            may_migrate=may, dead_rows=dead or 0,
        )  # fmt: skip
