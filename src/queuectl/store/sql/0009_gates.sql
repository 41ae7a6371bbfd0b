-- What decides when a due job may start: limits and pauses of queues, locks, expiry.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN locks {ordered text};  -- JSON list of NAME or NAME=N, by name; NULL: none
ALTER TABLE {schema}.jobs ADD COLUMN units text;            -- JSON: the variables that tell which its last claim took
ALTER TABLE {schema}.jobs ADD COLUMN start_by double precision;  -- not started by then, it is cancelled
ALTER TABLE {schema}.workers ADD COLUMN schema integer;     -- the newest that its release knows; NULL: before this one
ALTER TABLE {schema}.workers ADD COLUMN not_queues text;    -- JSON list: where `queues` is empty, it serves all but these
ALTER TABLE {schema}.workers ADD COLUMN waits text;         -- why its worker starts nothing for now
ALTER TABLE {schema}.workers ADD COLUMN wanted text;        -- JSON: options that people want its worker to take
ALTER TABLE {schema}.workers ADD COLUMN limits text;        -- what keeps memory limits: cgroup, or look

-- A job is parked while it is due but its locks are not free: `ready` is 2, or NULL. All with the same locks wait in one
-- line.
--postgres: ALTER TABLE {schema}.jobs ALTER ready DROP NOT NULL;
CREATE INDEX jobs_parked ON {schema}.jobs (locks, queue, priority DESC, due_at, seq)
--sqlite: WHERE ready = 2;
--postgres: WHERE ready IS NULL;
--postgres: CREATE INDEX jobs_gated ON {schema}.jobs (seq) WHERE ready AND (locks IS NOT NULL OR start_by IS NOT NULL);
CREATE INDEX jobs_expiring ON {schema}.jobs (start_by)
WHERE start_by IS NOT NULL AND starts = 0 AND state IN ('blocked', 'pending');

CREATE INDEX jobs_needing ON {schema}.jobs (locks) WHERE locks IS NOT NULL AND state IN ('blocked', 'pending', 'failed');

-- What people have set for queues. `is_full`: somebody who wanted a place found none, and whoever frees one tells.
CREATE TABLE {schema}.queues (
    name          {ordered text} PRIMARY KEY,
    concurrency   integer,
    rate_starts   integer,
    rate_window   double precision,
    rate_even     integer NOT NULL DEFAULT 0,
    paused_at     double precision,
    paused_until  double precision,
    paused_by     text,
    paused_reason text,
    defaults      text,                                     -- JSON object: values for jobs enqueued from then on
    is_full       boolean NOT NULL DEFAULT false
)
--postgres: WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)
;

-- The latest starts of queues that have a rate.
CREATE TABLE {schema}.starts (
    queue {ordered text} NOT NULL,
    at    double precision NOT NULL,                        -- 1e12: not on record yet
    job   bigint NOT NULL,                                  -- jobs.seq
    lease bigint NOT NULL,
    PRIMARY KEY (job, lease)
)
--postgres: WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)
;
CREATE INDEX starts_queue ON {schema}.starts (queue, at);

-- Locks whose units somebody has set; any other has one unit.
CREATE TABLE {schema}.locks (
    name  {ordered text} PRIMARY KEY,
    units text NOT NULL,                                    -- JSON: how many, or their names
    env   text
);

-- Who holds what. A row counts while its job is in process under this lease.
CREATE TABLE {schema}.holds (
    lock  {ordered text} NOT NULL,
    job   bigint NOT NULL,                                  -- jobs.seq
    lease bigint NOT NULL,
    units text NOT NULL,                                    -- JSON list
    PRIMARY KEY (lock, job)
)
--postgres: WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)
;
CREATE INDEX holds_job ON {schema}.holds (job);

-- The lines in which parked jobs wait. One is open from when units of its locks are freed until its first job does not fit.
CREATE TABLE {schema}.lock_lines (
    locks        {ordered text} PRIMARY KEY,                -- as in `jobs`
    open         integer NOT NULL,
    priority     integer,                                   -- of its first job, when that was last found not to fit
    due_at       double precision,
    seq          bigint,
    passed_since double precision                           -- since when others have been served before it
)
--postgres: WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)
;
CREATE INDEX lock_lines_open ON {schema}.lock_lines (locks) WHERE open = 1;
CREATE TABLE {schema}.line_locks (
    lock  {ordered text} NOT NULL,
    locks {ordered text} NOT NULL,
    PRIMARY KEY (lock, locks)
);
