-- Named queries of the SQLite store, one purpose each. Read by store/sqlite.py.

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
SELECT seq, priority, due_at, lost_in_row > 0 FROM jobs INDEXED BY jobs_ready
WHERE ready = 1 AND queue = :queue
ORDER BY priority DESC, due_at, seq LIMIT :limit;

-- name: claim
-- Hands one job to a worker. Equal to lifecycle.apply(job, Claimed); a test holds them together.
UPDATE jobs SET
    state = 'processing', ready = 0, lease = lease + 1, worker = :worker, host = :host,
    started_at = NULL, finished_at = NULL, next_retry_at = NULL, due_at = run_at, updated_at = :now
WHERE seq = :seq AND ready = 1
RETURNING {job_columns};

-- name: next_due
-- When the next job that is not claimable yet becomes so.
SELECT min(due_at) FROM jobs INDEXED BY jobs_due
WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed');

-- name: holds_worker
-- Whether the writer still drives this supervisor.
SELECT 1 FROM workers WHERE id = :worker AND epoch = :epoch;

-- name: flags
-- What people did meanwhile to the jobs that a supervisor runs.
SELECT seq, held, cancel_requested FROM jobs INDEXED BY jobs_processing
WHERE worker = :worker AND state = 'processing' AND (held = 1 OR cancel_requested = 1);

-- name: write_job
-- Replaces what changes in a job's life, if the writer still holds it.
UPDATE jobs SET
    state = :state, held = :held, ready = :ready, due_at = :due_at, run_at = :run_at,
    cancel_requested = :cancel_requested, attempts = :attempts, starts = :starts, lost = :lost,
    lost_in_row = :lost_in_row, worker = :worker, host = :host, started_at = :started_at,
    finished_at = :finished_at, next_retry_at = :next_retry_at, exit_code = :exit_code, signal = :signal,
    error = :error, cpu_time = :cpu_time, max_rss = :max_rss, output_bytes = :output_bytes,
    updated_at = :updated_at
WHERE seq = :seq AND lease = :lease AND state = :was AND worker IS :holder;

-- name: first_of_lane
-- The next lower priority of a queue that has claimable jobs, and since when its oldest one waits.
SELECT priority, due_at FROM jobs INDEXED BY jobs_ready
WHERE ready = 1 AND queue = :queue AND priority < :below
ORDER BY priority DESC, due_at, seq LIMIT 1;

-- name: forget_spec
-- Removes a spec that no job needs any more.
DELETE FROM specs WHERE id = :spec AND NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_spec WHERE spec = :spec);

-- name: next_retries
-- The failed jobs that run again next.
SELECT {job_columns} FROM jobs WHERE state = 'failed' AND held = 0 ORDER BY due_at LIMIT :limit;

-- name: ahead
-- How many claimable jobs of a queue come before a given one.
SELECT count(*) FROM jobs INDEXED BY jobs_ready
WHERE ready = 1 AND queue = :queue
  AND (priority > :priority OR (priority = :priority AND (due_at, seq) < (:due_at, :seq)));
