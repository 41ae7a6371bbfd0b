-- Unique jobs: who holds which key.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN unique_key text;
ALTER TABLE {schema}.jobs ADD COLUMN unique_until double precision;  -- its key is held at least so long

-- A row stays as long as its job. It says who may hold the key; whether that job does follows from its state.
CREATE TABLE {schema}.unique_keys (
    key    {ordered text} PRIMARY KEY,
    job    text NOT NULL,                                   -- jobs.id: the newest that took the key
    before text                                             -- jobs.id: the one that ran then, whose end it waits for
);
CREATE INDEX unique_keys_job ON {schema}.unique_keys (job);
