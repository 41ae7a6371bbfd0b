-- What a store of 0.1.0 has otherwise than one made later: it counts by triggers, beside the counts that are now kept
-- with every change, and lacks an index.
-- oldest reader: 2

DROP TRIGGER IF EXISTS jobs_insert_counts;
DROP TRIGGER IF EXISTS jobs_delete_counts;
DROP TRIGGER IF EXISTS jobs_update_counts;

CREATE INDEX IF NOT EXISTS jobs_retries ON jobs (due_at) WHERE state = 'failed' AND held = 0;

DELETE FROM counts;
INSERT INTO counts SELECT queue, state, count(*) FROM jobs GROUP BY queue, state;
