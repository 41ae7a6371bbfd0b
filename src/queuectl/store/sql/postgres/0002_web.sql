-- Who may come in over HTTP, what people did that is not a job's, and what has ended in the order of time.
-- oldest reader: 1

-- Tokens. Only the digest is kept: who reads the store learns no token.
CREATE TABLE {schema}.tokens (
    id         text PRIMARY KEY,
    digest     text NOT NULL UNIQUE,            -- SHA-256, in hexadecimal
    name       text COLLATE "C" NOT NULL UNIQUE,
    role       text NOT NULL,                   -- 'full' or 'read-only'
    created_at double precision NOT NULL,
    created_by text,
    used_at    double precision                 -- about; not written at every use
);

-- Of events that are no job's: what was changed, and into what.
ALTER TABLE {schema}.events ADD COLUMN detail text;

-- Throughput and failures of a stretch of time, without reading the history.
CREATE INDEX attempts_finished ON {schema}.attempts (finished_at, outcome) WHERE finished_at IS NOT NULL;
