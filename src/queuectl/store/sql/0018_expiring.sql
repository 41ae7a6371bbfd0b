-- A job that has run once and was replaced since has to start by its new time, too.
-- oldest reader: 2

-- Of jobs that wait to start; one that had started when it was given back has no such time any more.
CREATE INDEX jobs_starting_by ON {schema}.jobs (start_by)
WHERE start_by IS NOT NULL AND state IN ('blocked', 'pending');
UPDATE {schema}.jobs SET start_by = NULL WHERE start_by IS NOT NULL AND starts > 0 AND state = 'pending';
