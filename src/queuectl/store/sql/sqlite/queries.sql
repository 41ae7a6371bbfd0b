-- Named queries of the SQLite store, one purpose each. Read by store/sqlite/session.py. A bare parameter as a LIMIT has
-- SQLite prepare the statement anew at each execution, since the plan might depend on it; `+` keeps it from that.

-- name: promote
-- Moves jobs whose time has come into the claim index; bounded, so that a claim stays short.
UPDATE jobs SET ready = 1 WHERE seq IN (
    SELECT seq FROM jobs INDEXED BY jobs_due
    WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed') AND due_at <= :now
    ORDER BY due_at LIMIT 1000
);

-- name: ready_queues
-- The queues that have something to claim: one index probe a queue, never a scan.
WITH RECURSIVE found (queue) AS (
    SELECT min(queue) FROM jobs INDEXED BY jobs_ready WHERE ready = 1
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs INDEXED BY jobs_ready WHERE ready = 1 AND queue > found.queue)
    FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL;

-- name: claim_candidates
-- The first claimable jobs of one queue, in the order of claiming.
SELECT seq, priority, due_at, lost_in_row >= :losses, state, queue, locks, state = 'pending' AND start_by IS NOT NULL, 0
FROM jobs INDEXED BY jobs_ready
WHERE ready = 1 AND queue = :queue AND (start_by IS NULL OR start_by > :now OR state = 'failed')
ORDER BY priority DESC, due_at, seq LIMIT +:limit;

-- name: parked_queues
-- The queues of the jobs that wait in a line: one index probe a queue.
WITH RECURSIVE found (queue) AS (
    SELECT min(queue) FROM jobs INDEXED BY jobs_parked WHERE ready = 2 AND locks = :locks
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs INDEXED BY jobs_parked WHERE ready = 2 AND locks = :locks AND queue > found.queue)
    FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL;

-- name: parked_candidates
-- The first jobs of one queue in a line.
SELECT seq, priority, due_at, lost_in_row >= :losses, state, queue, locks, state = 'pending' AND start_by IS NOT NULL, 1
FROM jobs INDEXED BY jobs_parked
WHERE ready = 2 AND locks = :locks AND queue = :queue AND (start_by IS NULL OR start_by > :now OR state = 'failed')
ORDER BY priority DESC, due_at, seq LIMIT +:limit;

-- name: look
-- What a claim has to mind; see store/shared/gates.py.
SELECT EXISTS (
        SELECT 1 FROM queues WHERE concurrency IS NOT NULL OR rate_starts IS NOT NULL OR paused_at IS NOT NULL
    ), EXISTS (SELECT 1 FROM lock_lines),
    EXISTS (SELECT 1 FROM lock_lines INDEXED BY lock_lines_open WHERE open = 1),
    EXISTS (
        SELECT 1 FROM jobs INDEXED BY jobs_starting_by
        WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= :now
    ), EXISTS (SELECT 1 FROM settlements), EXISTS (SELECT 1 FROM edges INDEXED BY edges_open WHERE verdict IS NULL), EXISTS (
        SELECT 1 FROM jobs INDEXED BY jobs_due
        WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed') AND due_at <= :now
    );

-- name: free_candidates
-- The first claimable jobs of one queue in the order of claiming, where no queue is limited; and whether each minds a gate.
SELECT seq, priority, due_at, lost_in_row >= :losses, state, locks IS NOT NULL OR start_by IS NOT NULL FROM jobs INDEXED BY jobs_ready
WHERE ready = 1 AND queue = :queue
ORDER BY priority DESC, due_at, seq LIMIT +:limit;

-- name: claim
-- Hands jobs to a worker. Equal to lifecycle.apply(job, Claimed); a test holds them together.
UPDATE jobs SET
    state = 'processing', ready = 0, lease = lease + 1, worker = :worker, host = :host,
    started_at = NULL, finished_at = NULL, next_retry_at = NULL, progress = NULL, units = NULL,
    due_at = coalesce(place, max(run_at, created_at)), updated_at = :now
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND ready > 0
RETURNING {job_columns};

-- name: next_due
-- When the next job that is not claimable yet becomes so, or expires.
SELECT min(at) FROM (
    SELECT min(due_at) AS at FROM jobs INDEXED BY jobs_due
    WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed')
    UNION ALL
    SELECT min(start_by) FROM jobs INDEXED BY jobs_starting_by
    WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending')
);

-- name: has_claimable
-- Whether a claim now may find something, or settle it.
SELECT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_ready WHERE ready = 1) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_due
    WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed') AND due_at <= :now
) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_starting_by
    WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= :now
) OR EXISTS (SELECT 1 FROM lock_lines INDEXED BY lock_lines_open WHERE open = 1) OR EXISTS (SELECT 1 FROM settlements);

-- name: has_hooks
-- Whether a hook can be claimed now.
SELECT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_ready WHERE ready = 1 AND queue = :hooks) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_due
    WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed') AND due_at <= :now AND queue = :hooks
);

-- name: first_due
-- When the next job that is not claimable yet becomes so.
SELECT min(due_at) FROM jobs INDEXED BY jobs_due
WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed');

-- name: due_in_order
-- The first due jobs of a queue, wherever they wait: in the claim index, in the line of their locks, or in neither yet.
SELECT seq FROM (
    SELECT seq FROM jobs INDEXED BY jobs_ready WHERE ready = 1 AND queue = :queue
    ORDER BY priority DESC, due_at, seq LIMIT +:limit
)
UNION ALL SELECT seq FROM (
    SELECT seq FROM jobs WHERE ready = 2 AND queue = :queue
    ORDER BY priority DESC, due_at, seq LIMIT +:limit
)
UNION ALL SELECT seq FROM (
    SELECT seq FROM jobs INDEXED BY jobs_due
    WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed') AND due_at <= :now AND queue = :queue
    ORDER BY priority DESC, due_at, seq LIMIT +:limit
);

-- name: due_by_queue
-- Since when the oldest job of each queue waits that is due but not in the claim index yet.
SELECT queue, min(due_at) FROM jobs INDEXED BY jobs_due
WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed') AND due_at <= :now GROUP BY queue;

-- name: register
-- A new supervisor.
INSERT INTO workers ({worker_columns}) VALUES ({worker_marks});

-- name: adopt
-- Takes a supervisor over.
UPDATE workers SET epoch = epoch + 1, dispatcher = :dispatcher WHERE id = :worker AND epoch = :epoch RETURNING 1;

-- name: holds_worker
-- Whether the writer still drives this supervisor.
SELECT 1 FROM workers WHERE id = :worker AND epoch = :epoch;

-- name: in_hand
-- Which of these jobs a supervisor runs, under which lease, and what others did to them meanwhile.
SELECT seq, lease, held, cancel_requested, lost, lost_in_row FROM jobs
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND worker = :worker AND state = 'processing';

-- name: cancel_requests
-- Which jobs of a supervisor somebody wants cancelled.
SELECT seq FROM jobs INDEXED BY jobs_processing
WHERE worker = :worker AND state = 'processing' AND cancel_requested = 1;

-- name: write_job
-- Replaces what changes in a job's life, if it is still in the hands it was in.
UPDATE jobs SET ready = ?, {life}, due_at = ? WHERE seq = ? AND lease = ? AND state = ? AND worker IS ?;

-- name: before
-- The last due job of a queue and priority that comes before a given one, but for another one.
SELECT due_at, seq FROM (
    SELECT due_at, seq FROM (
        SELECT due_at, seq FROM jobs INDEXED BY jobs_ready
        WHERE ready = 1 AND queue = :queue AND priority = :priority AND (due_at, seq) < (:due_at, :seq) AND seq <> :but
        ORDER BY due_at DESC, seq DESC LIMIT 1
    )
    UNION ALL SELECT due_at, seq FROM (
        SELECT due_at, seq FROM jobs
        WHERE ready = 2 AND queue = :queue AND priority = :priority AND (due_at, seq) < (:due_at, :seq) AND seq <> :but
        ORDER BY due_at DESC, seq DESC LIMIT 1
    )
) ORDER BY due_at DESC, seq DESC LIMIT 1;

-- name: edit_job
-- Replaces what a job is to do. The caller has just written its life.
UPDATE jobs SET {edited} WHERE seq = ?;

-- name: note_detail
-- What a person changed in a job.
INSERT INTO events (at, job, kind, who, detail) VALUES (?, ?, ?, ?, ?);

-- name: write_alike
-- Replaces what changes in jobs that wait for others and are alike. lifecycle.apply has said what becomes of one of them.
UPDATE jobs SET state = :state, unmet = :unmet, updated_at = :now,
    ready = due_at <= :ready_by OR (:ready_by > 0 AND next_retry_at IS NULL AND place IS NULL AND run_at <= created_at)
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: note
-- What a person did to a job.
INSERT INTO events (at, job, kind, who) VALUES (?, ?, ?, ?);

-- name: start_attempt
-- An execution has begun.
INSERT OR REPLACE INTO attempts (job, number, lease, worker, host, started_at, output_files)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: end_attempt
-- An execution is over, whether or not its beginning was ever written.
INSERT OR REPLACE INTO attempts (
    job, number, lease, worker, host, started_at, finished_at, outcome, exit_code, signal, error, cpu_time, max_rss,
    output_bytes, leftover, note
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: break_attempt
-- An execution that had begun was lost, or does not count.
UPDATE attempts SET finished_at = ?, outcome = ?, error = ?, output_files = NULL WHERE job = ? AND number = ?;

-- name: write_output
-- What one stream of an execution wrote.
INSERT OR REPLACE INTO outputs (job, number, stream, head, tail, cut_bytes, compressed) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: insert_job
-- Adds jobs.
INSERT INTO jobs ({born}) VALUES ({born_marks});

-- name: add_edge
-- What new jobs depend on.
INSERT INTO edges (child, ref, parent, batch, wants, verdict, why) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: decide_edge
-- What something that a job depends on means for it.
UPDATE edges SET verdict = ?, why = ? WHERE child = ? AND ref = ?;

-- name: count
-- Adds to how many jobs of a queue are in a state.
INSERT INTO counts (queue, state, jobs) VALUES (?, ?, ?)
ON CONFLICT (queue, state) DO UPDATE SET jobs = jobs + excluded.jobs;

-- name: has_work
-- Whether a job of these queues (null: of all but the others) runs, or waits in a queue that is not paused; held ones aside.
-- Or whether a job of any queue has expired: its end may free others.
WITH closed AS (
    SELECT name FROM queues WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > :now)
    UNION ALL SELECT value FROM json_each(:not_queues)
)
SELECT EXISTS (
    SELECT 1 FROM counts WHERE state = 'processing' AND jobs > 0
    AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
    AND queue NOT IN (SELECT value FROM json_each(:not_queues))
) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_ready
    WHERE ready = 1 AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
    AND queue NOT IN (SELECT name FROM closed)
) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_due
    WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed')
    AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
    AND queue NOT IN (SELECT name FROM closed)
) OR EXISTS (SELECT 1 FROM settlements) OR EXISTS (SELECT 1 FROM run_ends) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_starting_by
    WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= :now
) OR EXISTS (
    SELECT 1 FROM jobs INDEXED BY jobs_parked
    WHERE ready = 2 AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
    AND queue NOT IN (SELECT name FROM closed)
);

-- name: first_of_lane
-- The next lower priority of a queue that has claimable jobs, and since when its oldest one waits.
SELECT priority, due_at FROM jobs INDEXED BY jobs_ready
WHERE ready = 1 AND queue = :queue AND priority < :below
ORDER BY priority DESC, due_at, seq LIMIT 1;

-- name: forget_spec
-- Removes a spec that no job needs any more.
DELETE FROM specs WHERE id = ? AND NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_spec WHERE spec = specs.id);

-- name: ahead
-- How many claimable jobs of some queues come before a given one: two ranges of the index a queue, neither counted far
-- beyond :most.
SELECT sum((
    SELECT count(*) FROM (
        SELECT 1 FROM jobs INDEXED BY jobs_ready
        WHERE ready = 1 AND queue = line.value AND priority > :priority LIMIT +:most
    )
) + (
    SELECT count(*) FROM (
        SELECT 1 FROM jobs INDEXED BY jobs_ready
        WHERE ready = 1 AND queue = line.value AND priority = :priority AND (due_at, seq) < (:due_at, :seq) LIMIT +:most
    )
)) FROM json_each(:queues) AS line;
