"""What a PostgreSQL server says about itself, as far as it matters to a queue. `doctor` judges it."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.clock import SystemClock
from queuectl.store.postgres.address import Address
from queuectl.store.postgres.connection import Line
from queuectl.store.postgres.errors import translated
from queuectl.typed import NamedTuple

QUERY = """
SELECT current_setting('server_version'), current_setting('server_version_num')::integer < 140000,
       pg_backend_pid() <> %(pid)s, extract(epoch FROM clock_timestamp())::double precision,
       current_setting('synchronous_commit'), current_setting('fsync') = 'on', current_user::text,
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'async'),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL),
       current_setting('synchronous_standby_names'), pg_is_in_recovery(),
       (SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'),
       oldest.age, oldest.ended_by,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       has_schema_privilege(current_user, %(schema)s, 'CREATE'), %(schema)s::text,
       ARRAY(
           SELECT tablename::text FROM pg_tables CROSS JOIN LATERAL (
               SELECT bool_and(has_table_privilege(format('%%I.%%I', schemaname, tablename), needed)) AS open
               FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS needed
           ) AS rights
           WHERE schemaname = %(schema)s AND NOT open ORDER BY tablename
       ),
       ARRAY(
           SELECT relname::text FROM pg_publication_tables
           JOIN pg_namespace ON nspname = schemaname
           JOIN pg_class ON relname = tablename AND relnamespace = pg_namespace.oid
           WHERE schemaname = %(schema)s AND (relreplident = 'n' OR (relreplident = 'd' AND NOT EXISTS (
               SELECT 1 FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary
           )))
           GROUP BY relname ORDER BY relname
       ),
       (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables
        WHERE schemaname = %(schema)s AND relname = 'jobs')
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
    """In the order of the query.

    `clock_ahead_s`: how far the server's clock is before this machine's. `oldest_s`: the age of the oldest open or
    prepared transaction of another session that has seen or written anything: no row that died since can be cleaned
    away; `oldest_ended_by` is the SQL that ends it. `sees_all`: whether the role is told of others' transactions and of
    standbys; `hidden_standbys`: those of which it may not see how they follow. `closed_tables` are those that it may
    not both read and write. `is_read_only_by_default`: whether sessions begin so, which we overrule. `named_standbys`:
    for which a commit waits, as the server is told. `unidentified_tables`: published, and without a replica identity.
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
    named_standbys: str
    is_standby: bool
    is_read_only_by_default: bool
    oldest_s: float | None
    oldest_ended_by: str | None
    sees_all: bool
    may_migrate: bool
    schema: str
    closed_tables: Sequence[str]
    unidentified_tables: Sequence[str]
    dead_rows: int


def health(line: Line, address: Address) -> Health:
    """Asks the server."""
    with translated(address):
        here = SystemClock().now()
        found = Health._make(line.fetch(QUERY, {"schema": address.schema, "pid": line.open().info.backend_pid})[0])
        return found._replace(clock_ahead_s=found.clock_ahead_s - here)
