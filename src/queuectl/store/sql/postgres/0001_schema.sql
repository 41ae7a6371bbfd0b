-- The schema of version 1.
-- oldest reader: 1
--
-- Times are seconds since the epoch. `jobs.seq` is never reused. Texts that are compared by order use "C", as SQLite
-- does. `{schema}` is the schema of this store.

CREATE TABLE {schema}.meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE {schema}.config (
    name  text PRIMARY KEY,
    value text NOT NULL
);

-- Policy and surroundings, kept once for all jobs that share them; found by digest, for a body may be long.
CREATE TABLE {schema}.specs (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    body   text NOT NULL
);

CREATE TABLE {schema}.jobs (
    seq              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id               text COLLATE "C" NOT NULL UNIQUE,
    generated_id     boolean NOT NULL,
    spec             bigint NOT NULL,           -- specs.id; kept by locks, for a foreign key costs too much
    command          text NOT NULL,             -- as a shell line
    words            text,                      -- JSON list, where it runs without a shell
    queue            text COLLATE "C" NOT NULL,
    priority         integer NOT NULL,
    tags             text,                      -- JSON list
    owner            text,
    created_at       double precision NOT NULL,
    run_at           double precision NOT NULL,
    updated_at       double precision NOT NULL,
    state            text COLLATE "C" NOT NULL,
    held             boolean NOT NULL DEFAULT false,
    ready            boolean NOT NULL,          -- may be claimed now; see store/rows.py
    due_at           double precision NOT NULL, -- not before; orders claims within a priority
    cancel_requested boolean NOT NULL DEFAULT false,
    attempts         integer NOT NULL DEFAULT 0,
    starts           integer NOT NULL DEFAULT 0,
    lost             integer NOT NULL DEFAULT 0,
    lost_in_row      integer NOT NULL DEFAULT 0,
    lease            bigint NOT NULL DEFAULT 0,
    worker           text COLLATE "C",
    host             text,
    started_at       double precision,
    finished_at      double precision,
    next_retry_at    double precision,
    exit_code        integer,
    signal           integer,
    error            text,
    cpu_time         double precision,
    max_rss          bigint,
    output_bytes     bigint
) WITH (
    -- Every job is written three times. Room on its page, and a vacuum that does not wait for a fifth of a long history.
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0
);

-- What can be claimed now, in the order of claiming: as large as the backlog, whatever the history.
CREATE INDEX jobs_ready ON {schema}.jobs (queue, priority DESC, due_at, seq) WHERE ready;
-- What becomes claimable later, in the order of time.
CREATE INDEX jobs_due ON {schema}.jobs (due_at) WHERE NOT ready AND NOT held AND state IN ('pending', 'failed');
-- What a worker holds.
CREATE INDEX jobs_processing ON {schema}.jobs (worker) WHERE state = 'processing';
-- Listings by state. Completed jobs are most of a history and need no index to be found; those that run have theirs.
CREATE INDEX jobs_state ON {schema}.jobs (state, seq) WHERE state NOT IN ('processing', 'completed');
-- How many jobs each queue has in each state: the sum over all rows of a queue and state. Each transaction adds rows
-- of its own, so that no two ever wait for one; now and then they are folded into one.
CREATE TABLE {schema}.counts (
    queue text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    jobs  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- How many jobs have each spec: the sum over all rows of a spec. An index of jobs would get an entry at every write of
-- every job. Whoever prunes folds them.
CREATE TABLE {schema}.uses (
    spec bigint NOT NULL,                       -- specs.id
    jobs bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX uses_spec ON {schema}.uses (spec);

-- Every start of a job.
CREATE TABLE {schema}.attempts (
    job          bigint NOT NULL,               -- jobs.seq
    number       integer NOT NULL,
    lease        bigint NOT NULL,
    worker       text NOT NULL,
    host         text NOT NULL,
    started_at   double precision NOT NULL,
    finished_at  double precision,
    outcome      text,
    exit_code    integer,
    signal       integer,
    error        text,
    cpu_time     double precision,
    max_rss      bigint,
    output_bytes bigint,
    output_files text,                          -- JSON list, while it runs
    leftover     text,
    PRIMARY KEY (job, number)
) WITH (fillfactor = 90);

-- What a finished attempt wrote. `stream` is 1 (both streams, or stdout alone) or 2 (stderr, where split).
CREATE TABLE {schema}.outputs (
    job        bigint NOT NULL,
    number     integer NOT NULL,
    stream     integer NOT NULL,
    head       bytea NOT NULL,
    tail       bytea,                           -- where the middle was cut out
    cut_bytes  bigint NOT NULL,
    compressed boolean NOT NULL,
    PRIMARY KEY (job, number, stream)
);
ALTER TABLE {schema}.outputs ALTER head SET STORAGE EXTERNAL, ALTER tail SET STORAGE EXTERNAL;  -- compressed by us

-- Running output on its way to readers on other machines: what a stream wrote from byte `start` to `stop`; kept while
-- somebody asks.
CREATE TABLE {schema}.pieces (
    job    bigint NOT NULL,
    number integer NOT NULL,
    stream integer NOT NULL,
    start  bigint NOT NULL,
    stop   bigint NOT NULL,
    data   bytea NOT NULL,
    PRIMARY KEY (job, number, stream, start)
);
CREATE TABLE {schema}.followers (
    job   bigint PRIMARY KEY,                   -- jobs.seq
    until timestamptz NOT NULL
);

-- What people did, where jobs and attempts do not show it.
CREATE TABLE {schema}.events (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at   double precision NOT NULL,
    job  bigint,                                -- jobs.seq
    kind text NOT NULL,
    who  text
);
CREATE INDEX events_job ON {schema}.events (job) WHERE job IS NOT NULL;

-- Supervisors. A worker (a dispatcher) drives one or several; `epoch` grows when another takes it over.
CREATE TABLE {schema}.workers (
    id         text PRIMARY KEY,                -- NAME~SUFFIX
    name       text NOT NULL,
    epoch      bigint NOT NULL,
    host       text NOT NULL,
    machine    text NOT NULL,                   -- boot id and PID namespace, in which the pids count
    pid        bigint NOT NULL,                 -- the supervisor's
    dispatcher bigint NOT NULL,                 -- its dispatcher's pid
    slots      integer NOT NULL,
    queues     text NOT NULL,                   -- JSON list; empty: all
    tag        bigint NOT NULL,                 -- marks its processes, see engine/process.py
    version    text NOT NULL,
    started_at double precision NOT NULL,
    stop       text,                            -- 'graceful' or 'now', once somebody asked for it
    expires_at timestamptz NOT NULL             -- by this server's clock; then another host may take its jobs
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
