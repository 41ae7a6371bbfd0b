-- The schema of version 1.
-- oldest reader: 1
--
-- Times are seconds since the epoch (REAL). Booleans are 0 and 1. `jobs.seq` is never reused.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE config (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Policy and surroundings, kept once for all jobs that share them.
CREATE TABLE specs (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL UNIQUE
);

CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    generated_id     INTEGER NOT NULL,
    spec             INTEGER NOT NULL REFERENCES specs (id),
    command          TEXT NOT NULL,             -- as a shell line
    words            TEXT,                      -- JSON list, where it runs without a shell
    queue            TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    tags             TEXT,                      -- JSON list
    owner            TEXT,
    created_at       REAL NOT NULL,
    run_at           REAL NOT NULL,
    updated_at       REAL NOT NULL,
    state            TEXT NOT NULL,
    held             INTEGER NOT NULL DEFAULT 0,
    ready            INTEGER NOT NULL,          -- 1: may be claimed now; see store/rows.py
    due_at           REAL NOT NULL,             -- not before; orders claims within a priority
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    attempts         INTEGER NOT NULL DEFAULT 0,
    starts           INTEGER NOT NULL DEFAULT 0,
    lost             INTEGER NOT NULL DEFAULT 0,
    lost_in_row      INTEGER NOT NULL DEFAULT 0,
    lease            INTEGER NOT NULL DEFAULT 0,
    worker           TEXT,
    host             TEXT,
    started_at       REAL,
    finished_at      REAL,
    next_retry_at    REAL,
    exit_code        INTEGER,
    signal           INTEGER,
    error            TEXT,
    cpu_time         REAL,
    max_rss          INTEGER,
    output_bytes     INTEGER
);

-- What can be claimed now, in the order of claiming: as large as the backlog, whatever the history.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, due_at, seq) WHERE ready = 1;
-- What becomes claimable later, in the order of time.
CREATE INDEX jobs_due ON jobs (due_at) WHERE ready = 0 AND held = 0 AND state IN ('pending', 'failed');
-- What a worker holds.
CREATE INDEX jobs_processing ON jobs (worker) WHERE state = 'processing';
-- Listings by state; completed jobs are most of a history and need no index to be found.
CREATE INDEX jobs_state ON jobs (state, seq) WHERE state <> 'completed';

-- What failed and runs again, in the order of time.
CREATE INDEX jobs_retries ON jobs (due_at) WHERE state = 'failed' AND held = 0;

-- Which specs are still needed.
CREATE INDEX jobs_spec ON jobs (spec);

-- How many jobs each queue has in each state, kept with every change so that `status` costs the same always.
CREATE TABLE counts (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs  INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) WITHOUT ROWID;

-- Every start of a job.
CREATE TABLE attempts (
    job          INTEGER NOT NULL,              -- jobs.seq
    number       INTEGER NOT NULL,
    lease        INTEGER NOT NULL,
    worker       TEXT NOT NULL,
    host         TEXT NOT NULL,
    started_at   REAL NOT NULL,
    finished_at  REAL,
    outcome      TEXT,
    exit_code    INTEGER,
    signal       INTEGER,
    error        TEXT,
    cpu_time     REAL,
    max_rss      INTEGER,
    output_bytes INTEGER,
    output_files TEXT,                          -- JSON list, while it runs
    leftover     TEXT,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;

-- What a finished attempt wrote. `stream` is 1 (both streams, or stdout alone) or 2 (stderr, where split).
CREATE TABLE outputs (
    job        INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    stream     INTEGER NOT NULL,
    head       BLOB NOT NULL,
    tail       BLOB,                            -- where the middle was cut out
    cut_bytes  INTEGER NOT NULL,
    compressed INTEGER NOT NULL,
    PRIMARY KEY (job, number, stream)
);

-- What people did, where jobs and attempts do not show it.
CREATE TABLE events (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   REAL NOT NULL,
    job  INTEGER,                               -- jobs.seq
    kind TEXT NOT NULL,
    who  TEXT
);
CREATE INDEX events_job ON events (job) WHERE job IS NOT NULL;

-- Supervisors. A worker (a dispatcher) drives one or several; `epoch` grows when another takes it over.
CREATE TABLE workers (
    id         TEXT PRIMARY KEY,                -- NAME~SUFFIX
    name       TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    host       TEXT NOT NULL,
    machine    TEXT NOT NULL,                   -- boot id and PID namespace, in which the pids count
    pid        INTEGER NOT NULL,                -- the supervisor's
    dispatcher INTEGER NOT NULL,                -- its dispatcher's pid
    slots      INTEGER NOT NULL,
    queues     TEXT NOT NULL,                   -- JSON list; empty: all
    tag        INTEGER NOT NULL,                -- marks its processes, see engine/process.py
    version    TEXT NOT NULL,
    started_at REAL NOT NULL,
    stop       TEXT                             -- 'graceful' or 'now', once somebody asked for it
) WITHOUT ROWID;
