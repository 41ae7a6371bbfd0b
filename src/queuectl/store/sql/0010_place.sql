-- Where in line a person has moved a job.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN place double precision;  -- a due time of its own, within its priority
