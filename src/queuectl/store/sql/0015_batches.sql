-- Batches of jobs.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN batch {ordered text};
CREATE INDEX jobs_batch ON {schema}.jobs (batch, state) WHERE batch IS NOT NULL;
CREATE INDEX jobs_batch_open ON {schema}.jobs (batch)
WHERE batch IS NOT NULL AND state IN ('blocked', 'pending', 'processing', 'failed');

-- What somebody has set for batches. A batch is there as long as a job or a row names it.
CREATE TABLE {schema}.batches (
    name      {ordered text} PRIMARY KEY,
    at_most   integer,                                      -- so many of its jobs run at once; the lock batch:NAME has them
    max_fails text,                                         -- N or N%: with more dead jobs, the rest is cancelled
    lost      integer NOT NULL DEFAULT 0                    -- jobs removed that had not completed, while others waited for it
);
