-- What failed jobs said last, and which of them failed alike.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN last_line text;        -- of the output of the latest execution, if that failed
ALTER TABLE {schema}.jobs ADD COLUMN fault {ordered text};  -- the same for failures that are alike

-- Failures by their likeness, with all that is counted of them, and in the order of time.
CREATE INDEX jobs_faults ON {schema}.jobs (fault, finished_at, queue, state) WHERE state IN ('dead', 'failed');
CREATE INDEX jobs_fallen ON {schema}.jobs (finished_at) WHERE state IN ('dead', 'failed');
