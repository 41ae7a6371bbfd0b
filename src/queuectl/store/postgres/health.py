"""What a PostgreSQL server says about itself, as far as it matters to a queue; `doctor` judges it."""

from __future__ import annotations

from typing import NamedTuple

from queuectl.clock import SystemClock
from queuectl.store.postgres.address import Address
from queuectl.store.postgres.connection import Line
from queuectl.store.postgres.errors import translated

QUERY = """
SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
       pg_backend_pid(), extract(epoch FROM clock_timestamp())::double precision,
       current_setting('synchronous_commit'), current_setting('fsync') = 'on', current_user::text,
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'async'),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL),
       oldest.age, oldest.ended_by,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       has_schema_privilege(current_user, %(schema)s, 'CREATE'),
       ARRAY(
           SELECT tablename::text FROM pg_tables CROSS JOIN LATERAL (
               SELECT bool_and(has_table_privilege(format('%%I.%%I', schemaname, tablename), needed)) AS open
               FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS needed
           ) AS rights
           WHERE schemaname = %(schema)s AND NOT open ORDER BY tablename
       ),
       (SELECT n_dead_tup FROM pg_stat_user_tables WHERE schemaname = %(schema)s AND relname = 'jobs')
FROM (SELECT 1) AS once LEFT JOIN LATERAL (
    SELECT extract(epoch FROM clock_timestamp() - xact_start)::double precision AS age,
           format('SELECT pg_terminate_backend(%%s);', pid) AS ended_by
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
    UNION ALL
    SELECT extract(epoch FROM clock_timestamp() - prepared)::double precision, format('ROLLBACK PREPARED %%L;', gid)
    FROM pg_prepared_xacts WHERE database = current_database()
    ORDER BY age DESC LIMIT 1
) AS oldest ON true
"""


class Health(NamedTuple):
    """`clock_ahead_s`: how far the server's clock is before this machine's. `oldest_s`: the age of the oldest open or
    prepared transaction of another session that has seen or written anything: no row that died since can be cleaned
    away; `oldest_ended_by` is the SQL that ends it. `sees_all`: whether the role is told of others' transactions and of
    standbys; `hidden_standbys`: those of which it may not see how they follow. `closed_tables` are those that it may
    not both read and write.
    """

    version: str
    is_old: bool
    is_pooled: bool
    clock_ahead_s: float
    synchronous_commit: str
    fsync: bool
    role: str
    async_standbys: int
    sync_standbys: int
    hidden_standbys: int
    oldest_s: float | None
    oldest_ended_by: str | None
    sees_all: bool
    may_migrate: bool
    schema: str
    closed_tables: tuple[str, ...]
    dead_rows: int


def health(line: Line, address: Address) -> Health:
    """Asks the server."""
    with translated(address):
        here = SystemClock().now()
        row = line.execute(QUERY, {"schema": address.schema}).fetchone()
        assert row is not None
        number, version, pid, at, synchronous, fsync, role, *standbys, age, ended_by, sees, may, closed, dead = row
        return Health(
            version=version, is_old=number < 140000, is_pooled=pid != line.open().info.backend_pid,
            clock_ahead_s=at - here, synchronous_commit=synchronous, fsync=fsync, role=role,
            async_standbys=standbys[0], sync_standbys=standbys[1], hidden_standbys=standbys[2], oldest_s=age,
            oldest_ended_by=ended_by,
            sees_all=sees, may_migrate=may, schema=address.schema, closed_tables=tuple(closed), dead_rows=dead or 0,
        )  # fmt: skip
