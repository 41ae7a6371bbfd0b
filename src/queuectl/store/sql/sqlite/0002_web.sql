-- Who may come in over HTTP, what people did that is not a job's, and what has ended in the order of time.
-- oldest reader: 1

-- Tokens. Only the digest is kept: who reads the store learns no token.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE,            -- SHA-256, in hexadecimal
    name       TEXT NOT NULL UNIQUE,
    role       TEXT NOT NULL,                   -- 'full' or 'read-only'
    created_at REAL NOT NULL,
    created_by TEXT,
    used_at    REAL                             -- about; not written at every use
) WITHOUT ROWID;

-- Of events that are no job's: what was changed, and into what.
ALTER TABLE events ADD COLUMN detail TEXT;

-- Throughput and failures of a stretch of time, without reading the history.
CREATE INDEX attempts_finished ON attempts (finished_at, outcome) WHERE finished_at IS NOT NULL;
