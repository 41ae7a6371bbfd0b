-- Named queries of the PostgreSQL store, one purpose each. Read by store/postgres/session.py.

-- name: hello
-- What a newly opened store must be asked: the server's time, the store's identity and its schema.
SELECT extract(epoch FROM clock_timestamp())::double precision,
       (SELECT value FROM {schema}.meta WHERE name = 'store_id'),
       (SELECT value::integer FROM {schema}.meta WHERE name = 'schema'),
       (SELECT value FROM {schema}.config WHERE name = 'durability');

-- name: promote
-- Moves jobs whose time has come into the claim index; bounded, so that a claim stays short.
UPDATE {schema}.jobs SET ready = true WHERE seq = ANY (ARRAY(
    SELECT seq FROM {schema}.jobs
    WHERE NOT ready AND NOT held AND state IN ('pending', 'failed') AND due_at <= %(now)s
    ORDER BY due_at LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
));

-- name: ready_queues
-- The queues between `above` and `below` in which something can be claimed, over several such gaps: one index probe for
-- each. The gaps exclude known queues, whose first index entries are mostly dead rows of recent claims.
WITH RECURSIVE waiting (queue, below) AS (
    SELECT (SELECT min(queue) FROM {schema}.jobs WHERE ready AND queue > gap.above AND queue < gap.below), gap.below
    FROM unnest(%(above)s::text[], %(below)s::text[]) AS gap (above, below)
    UNION ALL
    SELECT (SELECT min(queue) FROM {schema}.jobs
            WHERE ready AND queue > waiting.queue AND queue < waiting.below), waiting.below
    FROM waiting WHERE waiting.queue IS NOT NULL
)
SELECT queue FROM waiting WHERE queue IS NOT NULL;

-- name: candidates
-- The jobs to be claimed next that mind no gate, over all the given queues, in the order of claiming. Locks nothing.
SELECT job.seq, job.suspect FROM unnest(%(queues)s::text[]) AS served (queue) CROSS JOIN LATERAL (
    SELECT seq, priority, due_at, lost_in_row >= %(losses)s AS suspect FROM {schema}.jobs
    WHERE ready AND jobs.queue = served.queue AND locks IS NULL AND start_by IS NULL
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s
) AS job
ORDER BY job.priority DESC, job.due_at, job.seq LIMIT %(limit)s;

-- name: look
-- What a claim has to mind, see store/shared/gates.py; whether any claimable job minds a gate, and whether any job is to be
-- promoted first; and the queues of `ready_queues`.
SELECT EXISTS (
        SELECT 1 FROM {schema}.queues WHERE concurrency IS NOT NULL OR rate_starts IS NOT NULL OR paused_at IS NOT NULL
    ), EXISTS (SELECT 1 FROM {schema}.lock_lines),
    EXISTS (SELECT 1 FROM {schema}.lock_lines WHERE open = 1),
    EXISTS (
        SELECT 1 FROM {schema}.jobs
        WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= %(now)s
    ),
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE ready AND (locks IS NOT NULL OR start_by IS NOT NULL)),
    EXISTS (SELECT 1 FROM {schema}.settlements), EXISTS (SELECT 1 FROM {schema}.edges WHERE verdict IS NULL),
    EXISTS (
        SELECT 1 FROM {schema}.jobs
        WHERE NOT ready AND NOT held AND state IN ('pending', 'failed') AND due_at <= %(now)s
    ), ARRAY({ready_queues});

-- name: claim_candidates
-- The jobs to be claimed next, over all the given queues, in the order of claiming, with what gates ask of them.
SELECT job.* FROM unnest(%(queues)s::text[]) AS served (queue) CROSS JOIN LATERAL (
    SELECT seq, priority, due_at, lost_in_row >= %(losses)s, state, queue, locks,
           state = 'pending' AND start_by IS NOT NULL, false FROM {schema}.jobs
    WHERE ready AND jobs.queue = served.queue AND (start_by IS NULL OR start_by > %(now)s OR state = 'failed')
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s
) AS job
ORDER BY job.priority DESC, job.due_at, job.seq LIMIT %(limit)s;

-- name: parked_queues
-- The queues of the jobs that wait in a line: one index probe a queue.
WITH RECURSIVE waiting (queue) AS (
    SELECT min(queue) FROM {schema}.jobs WHERE ready IS NULL AND locks = %(locks)s
    UNION ALL
    SELECT (SELECT min(queue) FROM {schema}.jobs
            WHERE ready IS NULL AND locks = %(locks)s AND queue > waiting.queue)
    FROM waiting WHERE waiting.queue IS NOT NULL
)
SELECT queue FROM waiting WHERE queue IS NOT NULL;

-- name: parked_candidates
-- The first jobs of some queues in a line.
SELECT job.* FROM unnest(%(queues)s::text[]) AS served (queue) CROSS JOIN LATERAL (
    SELECT seq, priority, due_at, lost_in_row >= %(losses)s, state, queue, locks,
           state = 'pending' AND start_by IS NOT NULL, true FROM {schema}.jobs
    WHERE ready IS NULL AND locks = %(locks)s AND jobs.queue = served.queue
      AND (start_by IS NULL OR start_by > %(now)s OR state = 'failed')
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s
) AS job
ORDER BY job.priority DESC, job.due_at, job.seq LIMIT %(limit)s;

-- name: found_full
-- Who frees a place in these queues is to tell.
UPDATE {schema}.queues SET is_full = true WHERE name = ANY (%(queues)s::text[]) AND NOT is_full;

-- name: freed
-- Places in these queues are free; whether somebody found them full.
UPDATE {schema}.queues SET is_full = false WHERE name = ANY (%(queues)s::text[]) AND is_full RETURNING 1;

-- name: claims_go_on
-- This transaction claims by the limits that are set now; who changes them waits for its end.
SELECT pg_advisory_xact_lock_shared(%(claims)s, %(store)s);

-- name: shut_gates
-- Waits for claims by the limits that are set until now, and lets no other claim begin until this transaction ends.
SELECT pg_advisory_xact_lock(%(claims)s, %(store)s);

-- name: hold_gates
-- Nobody else decides about limits and locks until this transaction ends.
SELECT pg_advisory_xact_lock(%(gates)s, %(store)s);

-- name: turn_batches
-- This transaction changes how batches stand; it does not wait, unless for an `is_calm` that is just being answered.
SELECT pg_advisory_xact_lock_shared(key) FROM unnest(%(keys)s::bigint[]) AS key;

-- name: is_calm
-- Whether no other transaction does so. Locks nothing beyond this statement.
WITH asked AS MATERIALIZED (SELECT pg_try_advisory_lock(%(key)s) AS is_mine)
SELECT pg_advisory_unlock(%(key)s) FROM asked WHERE is_mine;

-- name: claim_of_queue
-- Hands a worker the first jobs of one queue that mind no gate and nobody else is claiming just now; of those that have lost
-- `losses` workers in a row only `suspects`. Like `claim` in all else.
WITH locked AS MATERIALIZED (
    SELECT ctid AS tid, seq, state, priority, due_at, lost_in_row >= %(losses)s AS suspect FROM {schema}.jobs
    WHERE ready AND queue = %(queue)s AND locks IS NULL AND start_by IS NULL
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    SELECT tid, state, due_at FROM locked WHERE NOT suspect OR seq = ANY (ARRAY(
        SELECT seq FROM locked WHERE suspect ORDER BY priority DESC, due_at, seq LIMIT %(suspects)s
    ))
)
{claim_taken};

-- name: claim
-- Hands jobs to a worker, except those that another one is claiming at the moment. A test compares it with
-- lifecycle.apply(job, Claimed). The array is in the order of claiming.
WITH taken AS MATERIALIZED (
    SELECT jobs.ctid AS tid, jobs.state, jobs.due_at FROM unnest(%(seqs)s::bigint[]) WITH ORDINALITY AS wanted (seq, place)
    JOIN {schema}.jobs ON jobs.seq = wanted.seq
    WHERE jobs.ready IS NOT FALSE ORDER BY wanted.place LIMIT %(limit)s
    FOR NO KEY UPDATE OF jobs SKIP LOCKED
)
{claim_taken};

-- name: claim_taken
-- The end of both. Also returns each job's former state and due time, which the row no longer has.
UPDATE {schema}.jobs SET
    state = 'processing', ready = false, lease = lease + 1, worker = %(worker)s, host = %(host)s,
    started_at = NULL, finished_at = NULL, next_retry_at = NULL, progress = NULL, units = NULL,
    due_at = coalesce(jobs.place, greatest(jobs.run_at, jobs.created_at)), updated_at = %(now)s
FROM taken WHERE jobs.ctid = taken.tid
RETURNING taken.due_at, taken.state, {job_columns};

-- name: next_due
-- When the next job that is not claimable yet becomes so, or expires.
SELECT least(
    (SELECT min(due_at) FROM {schema}.jobs WHERE NOT ready AND NOT held AND state IN ('pending', 'failed')),
    (SELECT min(start_by) FROM {schema}.jobs
     WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending'))
);

-- name: due_in_order
-- The first due jobs of a queue, wherever they wait: in the claim index, in the line of their locks, or in neither yet.
(
    SELECT seq FROM {schema}.jobs WHERE ready AND queue = %(queue)s
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s
)
UNION ALL (
    SELECT seq FROM {schema}.jobs WHERE ready IS NULL AND queue = %(queue)s
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s
)
UNION ALL (
    SELECT seq FROM {schema}.jobs
    WHERE NOT ready AND NOT held AND state IN ('pending', 'failed') AND due_at <= %(now)s AND queue = %(queue)s
    ORDER BY priority DESC, due_at, seq LIMIT %(limit)s
);

-- name: due_by_queue
-- Since when the oldest job of each queue waits that is due but not in the claim index yet.
SELECT queue, min(due_at) FROM {schema}.jobs
WHERE NOT ready AND NOT held AND state IN ('pending', 'failed') AND due_at <= %(now)s GROUP BY queue;

-- name: has_claimable
-- Whether a claim now may find something, or settle it.
SELECT EXISTS (SELECT 1 FROM {schema}.jobs WHERE ready) OR EXISTS (
    SELECT 1 FROM {schema}.jobs
    WHERE NOT ready AND NOT held AND state IN ('pending', 'failed') AND due_at <= %(now)s
) OR EXISTS (
    SELECT 1 FROM {schema}.jobs
    WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= %(now)s
) OR EXISTS (SELECT 1 FROM {schema}.lock_lines WHERE open = 1) OR EXISTS (SELECT 1 FROM {schema}.settlements);

-- name: outlook
-- Whether a claim now may find something, and when the next job becomes claimable.
SELECT ({has_claimable}), ({next_due});

-- name: has_hooks
-- Whether a hook can be claimed now.
SELECT EXISTS (SELECT 1 FROM {schema}.jobs WHERE ready AND queue = %(hooks)s) OR EXISTS (
    SELECT 1 FROM {schema}.jobs
    WHERE NOT ready AND NOT held AND state IN ('pending', 'failed') AND due_at <= %(now)s AND queue = %(hooks)s
);

-- name: first_due
-- When the next job that is not claimable yet becomes so.
SELECT min(due_at) FROM {schema}.jobs WHERE NOT ready AND NOT held AND state IN ('pending', 'failed');

-- name: drives
-- Whether the writer still drives this supervisor; it does so until this transaction ends.
SELECT 1 FROM {schema}.workers WHERE id = %(worker)s AND epoch = %(epoch)s FOR SHARE;

-- name: in_hand
-- Which of these jobs a supervisor runs, under which lease, and what others did to them meanwhile. Nobody changes
-- them now until this transaction ends. Found by `seq` alone: in the index of what a worker holds, all that it ever
-- held may still stand while an old transaction keeps the dead rows.
SELECT seq, lease, held, cancel_requested, lost, lost_in_row FROM {schema}.jobs
WHERE seq = ANY (%(seqs)s::bigint[]) AND worker IS NOT DISTINCT FROM %(worker)s AND state = 'processing'
ORDER BY seq FOR NO KEY UPDATE;

-- name: cancel_requests
-- Which jobs of a supervisor somebody wants cancelled.
SELECT seq FROM {schema}.jobs WHERE worker = %(worker)s AND state = 'processing' AND cancel_requested;

-- name: write_job
-- Replaces what changes in jobs' lives, where they are still in the hands they were in. One array a column.
UPDATE {schema}.jobs SET ready = new.ready, {life_set}, due_at = new.due_at
FROM unnest(
    %s::boolean[], {life_arrays}, %s::double precision[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],
    %s::boolean[], %s::boolean[], %s::integer[]
) AS new (ready, {life}, due_at, seq, lease, was, holder, was_held, was_cancelled, was_lost)
WHERE jobs.seq = new.seq AND jobs.lease = new.lease AND jobs.state = new.was
  AND jobs.worker IS NOT DISTINCT FROM new.holder
  AND jobs.held = new.was_held AND jobs.cancel_requested = new.was_cancelled AND jobs.lost = new.was_lost
RETURNING jobs.seq, jobs.lease;

-- name: write_alike
-- Replaces what changes in jobs that wait for others and are alike. lifecycle.apply has said what becomes of one of them.
UPDATE {schema}.jobs SET state = %(state)s, unmet = %(unmet)s, updated_at = %(now)s,
    ready = due_at <= %(ready_by)s OR (%(ready_by)s > 0 AND next_retry_at IS NULL AND place IS NULL AND run_at <= created_at)
WHERE seq = ANY (%(seqs)s);

-- name: start_attempt
-- Executions have begun.
INSERT INTO {schema}.attempts AS known (job, number, lease, worker, host, started_at, output_files)
SELECT * FROM unnest(
    %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::text[], %s::double precision[], %s::text[]
)
ON CONFLICT (job, number) DO UPDATE SET
    lease = excluded.lease, worker = excluded.worker, host = excluded.host, started_at = excluded.started_at,
    output_files = excluded.output_files;

-- name: end_attempt
-- Executions are over, whether or not their beginning was ever written.
INSERT INTO {schema}.attempts (
    job, number, lease, worker, host, started_at, finished_at, outcome, exit_code, signal, error, cpu_time, max_rss,
    output_bytes, leftover, note
)
SELECT * FROM unnest(
    %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::text[], %s::double precision[],
    %s::double precision[], %s::text[], %s::integer[], %s::integer[], %s::text[], %s::double precision[],
    %s::bigint[], %s::bigint[], %s::text[], %s::text[]
)
ON CONFLICT (job, number) DO UPDATE SET
    lease = excluded.lease, worker = excluded.worker, host = excluded.host, started_at = excluded.started_at,
    finished_at = excluded.finished_at, outcome = excluded.outcome, exit_code = excluded.exit_code,
    signal = excluded.signal, error = excluded.error, cpu_time = excluded.cpu_time, max_rss = excluded.max_rss,
    output_bytes = excluded.output_bytes, output_files = NULL, leftover = excluded.leftover,
    note = excluded.note;

-- name: break_attempt
-- Executions that had begun were lost, or do not count.
UPDATE {schema}.attempts SET
    finished_at = new.finished_at, outcome = new.outcome, error = new.error, output_files = NULL
FROM unnest(%s::double precision[], %s::text[], %s::text[], %s::bigint[], %s::integer[])
    AS new (finished_at, outcome, error, job, number)
WHERE attempts.job = new.job AND attempts.number = new.number;

-- name: write_output
-- What streams of executions wrote.
INSERT INTO {schema}.outputs (job, number, stream, head, tail, cut_bytes, compressed)
SELECT * FROM unnest(
    %s::bigint[], %s::integer[], %s::integer[], %s::bytea[], %s::bytea[], %s::bigint[], %s::boolean[]
)
ON CONFLICT (job, number, stream) DO UPDATE SET
    head = excluded.head, tail = excluded.tail, cut_bytes = excluded.cut_bytes, compressed = excluded.compressed;

-- name: insert_job
-- Adds jobs, except those whose id is taken. Returns how many.
WITH added AS (
    INSERT INTO {schema}.jobs ({born}) SELECT * FROM unnest({born_arrays})
    ON CONFLICT (id) DO NOTHING RETURNING 1
)
SELECT count(*) FROM added;

-- name: before
-- The last due job of a queue and priority that comes before a given one, but for another one.
(
    SELECT due_at, seq FROM {schema}.jobs
    WHERE ready AND queue = %(queue)s AND priority = %(priority)s AND (due_at, seq) < (%(due_at)s, %(seq)s)
      AND seq <> %(but)s
    ORDER BY due_at DESC, seq DESC LIMIT 1
)
UNION ALL (
    SELECT due_at, seq FROM {schema}.jobs
    WHERE ready IS NULL AND queue = %(queue)s AND priority = %(priority)s AND (due_at, seq) < (%(due_at)s, %(seq)s)
      AND seq <> %(but)s
    ORDER BY due_at DESC, seq DESC LIMIT 1
)
ORDER BY due_at DESC, seq DESC LIMIT 1;

-- name: edit_job
-- Replaces what jobs are to do. The caller has locked them and just written their lives.
UPDATE {schema}.jobs SET {edited_set} FROM unnest({edited_arrays}, %s::bigint[]) AS new ({edited}, seq)
WHERE jobs.seq = new.seq;

-- name: note_detail
-- What people changed in jobs.
INSERT INTO {schema}.events (at, job, kind, who, detail)
SELECT * FROM unnest(%s::double precision[], %s::bigint[], %s::text[], %s::text[], %s::text[]);

-- name: add_edge
-- What new jobs depend on.
INSERT INTO {schema}.edges (child, ref, parent, batch, wants, verdict, why)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::integer[], %s::text[]
);

-- name: decide_edge
-- What something that jobs depend on means for them.
UPDATE {schema}.edges SET verdict = new.verdict, why = new.why
FROM unnest(%s::integer[], %s::text[], %s::bigint[], %s::text[]) AS new (verdict, why, child, ref)
WHERE edges.child = new.child AND edges.ref = new.ref;

-- name: note
-- What people did to jobs.
INSERT INTO {schema}.events (at, job, kind, who)
SELECT * FROM unnest(%s::double precision[], %s::bigint[], %s::text[], %s::text[]);

-- name: find_specs
-- Specs that are known already. Nobody removes them until this transaction ends.
SELECT id, digest FROM {schema}.specs WHERE digest = ANY (%(digests)b::bytea[]) ORDER BY id FOR KEY SHARE;

-- name: add_spec
-- Adds new specs, except `shared` ones that another session has added or may be adding: nobody waits for that session.
-- Many specs share one lock (0x71756575 marks ours), since a server has room for only some thousands.
INSERT INTO {schema}.specs (digest, body)
SELECT digest, body FROM unnest(%s::bytea[], %s::text[], %s::boolean[]) AS new (digest, body, shared)
WHERE NOT shared OR pg_try_advisory_xact_lock(1903519093, get_byte(digest, 0)) ORDER BY digest
ON CONFLICT (digest) DO NOTHING;

-- name: use_specs
-- Changes how many jobs have these specs.
INSERT INTO {schema}.uses (spec, jobs) SELECT * FROM unnest(%s::bigint[], %s::bigint[]);

-- name: idle_specs
-- Locks specs that nobody is using at the moment. A session that wants to use one waits until this transaction ends.
SELECT id FROM {schema}.specs WHERE id = ANY (%(specs)s::bigint[]) FOR UPDATE SKIP LOCKED;

-- name: fold_uses
-- Replaces the many rows of uses of locked specs by few, or by none if their sum is zero. Bounded, so that it stays
-- short.
WITH gone AS (
    DELETE FROM {schema}.uses WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {schema}.uses WHERE spec = ANY (%(specs)s::bigint[]) LIMIT 20000
    ))
    RETURNING spec, jobs
)
INSERT INTO {schema}.uses (spec, jobs) SELECT spec, sum(jobs) FROM gone GROUP BY spec HAVING sum(jobs) <> 0;

-- name: forget_specs
-- Removes those of these specs that no job needs any more.
DELETE FROM {schema}.specs
WHERE id = ANY (%(specs)s::bigint[]) AND NOT EXISTS (SELECT 1 FROM {schema}.uses WHERE uses.spec = specs.id);

-- name: count
-- Adds to how many jobs queues have in states.
INSERT INTO {schema}.counts (queue, state, jobs) SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]);

-- name: fold_counts
-- Replaces many rows by one, except rows that another session is folding at the moment.
WITH gone AS (
    DELETE FROM {schema}.counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {schema}.counts LIMIT 20000 FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue, state, jobs
)
INSERT INTO {schema}.counts (queue, state, jobs)
SELECT queue, state, sum(jobs) FROM gone GROUP BY queue, state HAVING sum(jobs) <> 0;

-- name: oldest_ready
-- Since when the oldest claimable job of each queue waits: one index probe for each priority of each queue.
WITH RECURSIVE lanes (queue, priority, due_at) AS (
    (SELECT queue, priority, due_at FROM {schema}.jobs WHERE ready ORDER BY queue, priority DESC, due_at, seq LIMIT 1)
    UNION ALL
    SELECT next.* FROM lanes CROSS JOIN LATERAL (
        (SELECT queue, priority, due_at FROM {schema}.jobs
         WHERE ready AND jobs.queue = lanes.queue AND jobs.priority < lanes.priority
         ORDER BY priority DESC, due_at, seq LIMIT 1)
        UNION ALL
        (SELECT queue, priority, due_at FROM {schema}.jobs
         WHERE ready AND jobs.queue > lanes.queue
         ORDER BY queue, priority DESC, due_at, seq LIMIT 1)
        LIMIT 1
    ) AS next
)
SELECT queue, min(due_at) FROM lanes GROUP BY queue;

-- name: ahead
-- How many claimable jobs of some queues come before a given one: two ranges of the index a queue, neither counted far
-- beyond `most`.
SELECT sum((
    SELECT count(*) FROM (
        SELECT 1 FROM {schema}.jobs WHERE ready AND queue = line.name AND priority > %(priority)s LIMIT %(most)s
    ) AS more_urgent
) + (
    SELECT count(*) FROM (
        SELECT 1 FROM {schema}.jobs
        WHERE ready AND queue = line.name AND priority = %(priority)s AND (due_at, seq) < (%(due_at)s, %(seq)s)
        LIMIT %(most)s
    ) AS earlier
)) FROM unnest(%(queues)s::text[]) AS line (name);

-- name: has_work
-- Whether any job of these queues (null: of all but the others) runs, or waits in a queue that is not paused; held ones aside.
-- Or whether a job of any queue has expired: its end may free others.
SELECT EXISTS (
    SELECT 1 FROM {schema}.jobs
    WHERE state = 'processing' AND (%(queues)s::text[] IS NULL OR queue = ANY (%(queues)s::text[]))
      AND queue <> ALL (%(not_queues)s::text[])
) OR EXISTS (
    SELECT 1 FROM {schema}.jobs
    WHERE state IN ('pending', 'failed') AND NOT held
      AND (%(queues)s::text[] IS NULL OR queue = ANY (%(queues)s::text[]))
      AND queue <> ALL (%(not_queues)s::text[])
      AND queue NOT IN (
          SELECT name FROM {schema}.queues
          WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > %(now)s)
      )
) OR EXISTS (SELECT 1 FROM {schema}.settlements) OR EXISTS (SELECT 1 FROM {schema}.run_ends) OR EXISTS (
    SELECT 1 FROM {schema}.jobs
    WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= %(now)s
);

-- name: register
-- A new supervisor, with its first lease.
INSERT INTO {schema}.workers ({worker_columns}, expires_at)
VALUES ({worker_marks}, clock_timestamp() + make_interval(secs => %(lease_s)s));

-- name: renew
-- Puts off the expiry of supervisors, if all are still driven in these epochs. Tells how many, the table they are in, the
-- time, and what their worker looks for now and then: an idle one sends nothing else. A transaction of its own, whose
-- first part sees to it that it is durable and waits for nobody too long.
WITH terms AS MATERIALIZED (
    SELECT set_config('lock_timeout', %(lock_timeout)s, true), {durable}
), mine AS MATERIALIZED (
    SELECT workers.id FROM terms, {schema}.workers
    JOIN unnest(%(workers)s::text[], %(epochs)s::bigint[]) AS given (worker, epoch)
      ON workers.id = given.worker AND workers.epoch = given.epoch
    ORDER BY workers.id FOR NO KEY UPDATE OF workers
), others AS MATERIALIZED (
    SELECT min(expires_at) AS first_expires_at, count(*) AS number FROM {schema}.workers
    WHERE id <> ALL (%(workers)s::text[])
), renewed AS (
    UPDATE {schema}.workers SET expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
    WHERE id = ANY (ARRAY(SELECT id FROM mine)) AND (SELECT count(*) FROM mine) = cardinality(%(workers)s::text[])
    RETURNING tableoid, stop IS NOT NULL OR wanted IS NOT NULL AS asked
)
SELECT count(*), min(tableoid::bigint), extract(epoch FROM clock_timestamp())::double precision,
       (SELECT jsonb_object_agg(name, value) FROM {schema}.config), bool_or(asked), ({has_claimable}),
       EXISTS (SELECT 1 FROM {schema}.schedules WHERE next_at IS NOT NULL OR tell_at IS NOT NULL)
           OR EXISTS (SELECT 1 FROM {schema}.run_ends),
       (SELECT extract(epoch FROM first_expires_at - clock_timestamp())::double precision FROM others),
       (SELECT number FROM others)
FROM renewed;

-- name: adopt
-- Takes a supervisor over, with a new lease; one of another machine only when its lease has run out.
UPDATE {schema}.workers SET
    epoch = epoch + 1, dispatcher = %(dispatcher)s, expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE id = %(worker)s AND epoch = %(epoch)s AND (NOT %(only_expired)s OR expires_at <= clock_timestamp())
RETURNING 1;

-- name: end_frozen
-- Ends sessions of ours that have locked supervisors' rows for too long and wait for their client, which is frozen.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity AS activity
WHERE datname = current_database() AND usename = current_user
  AND application_name = current_setting('application_name')
  AND wait_event_type = 'Client' AND xact_start < clock_timestamp() - make_interval(secs => %(after_s)s)
  AND EXISTS (
      SELECT 1 FROM pg_locks
      WHERE pg_locks.pid = activity.pid AND relation = '{schema}.workers'::regclass
        AND mode IN ('RowShareLock', 'RowExclusiveLock')
  );

-- name: unexpired
-- The supervisors whose lease holds.
SELECT id FROM {schema}.workers WHERE id = ANY (%(workers)s) AND expires_at > clock_timestamp();

-- name: expiries
-- When supervisors' leases run out, by this server's clock.
SELECT id, extract(epoch FROM expires_at)::double precision FROM {schema}.workers WHERE id = ANY (%(workers)s);

-- name: ask_for_output
-- A reader on another machine wants a job's output for some time.
INSERT INTO {schema}.followers AS known VALUES (%(job)s, clock_timestamp() + make_interval(secs => %(for_s)s))
ON CONFLICT (job) DO UPDATE SET until = greatest(known.until, excluded.until);

-- name: sweep_pieces
-- Removes pieces that nobody asks for any more.
WITH gone AS (DELETE FROM {schema}.followers WHERE until <= clock_timestamp() RETURNING job),
     swept AS (DELETE FROM {schema}.pieces WHERE job IN (SELECT job FROM gone))
SELECT count(*) FROM gone;

-- name: wanted_output
-- Which jobs of a supervisor have readers on other machines.
SELECT seq FROM {schema}.jobs JOIN {schema}.followers ON followers.job = jobs.seq
WHERE worker = %(worker)s AND state = 'processing' AND until > clock_timestamp();

-- name: add_piece
-- What a running job has written since the last piece.
INSERT INTO {schema}.pieces (job, number, stream, start, stop, data)
SELECT seq, starts, %(stream)s, %(start)s, %(stop)s, %(data)b FROM {schema}.jobs
WHERE seq = %(job)s AND lease = %(lease)s AND worker = %(worker)s AND state = 'processing'
ON CONFLICT (job, number, stream, start) DO UPDATE SET stop = excluded.stop, data = excluded.data;

-- name: forget_pieces
-- Removes pieces that readers have had enough time to read.
DELETE FROM {schema}.pieces WHERE job = %(job)s AND stream = %(stream)s AND stop < %(before)s;

-- name: next_piece
-- The first piece that goes beyond an offset.
SELECT start, stop, data FROM {schema}.pieces
WHERE job = %(job)s AND number = %(number)s AND stream = %(stream)s AND stop > %(offset)s ORDER BY start LIMIT 1;
