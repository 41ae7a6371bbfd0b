-- What adds jobs at set times, and what became of each time.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN schedule {ordered text};        -- the name of what added it; NULL: a person
ALTER TABLE {schema}.jobs ADD COLUMN scheduled_at double precision;  -- the time it was added for
CREATE INDEX jobs_scheduled ON {schema}.jobs (schedule, state) WHERE schedule IS NOT NULL;

CREATE TABLE {schema}.schedules (
    name          {ordered text} PRIMARY KEY,
    cron          text,                                     -- a cron expression; NULL: each `every` seconds
    every         double precision,
    anchor        double precision NOT NULL,                -- from when `every` counts
    zone          text NOT NULL,
    overlap       text NOT NULL,
    catch_up      text NOT NULL,
    late_max      double precision,
    jitter        double precision NOT NULL,
    document      text NOT NULL,                            -- JSON: the keys of its jobs
    surroundings  text NOT NULL,                            -- JSON: the folder, umask and variables they were given with
    created_at    double precision NOT NULL,
    created_by    text,
    updated_at    double precision NOT NULL,
    updated_by    text,
    paused_at     double precision,
    paused_by     text,
    paused_reason text,
    nominal       double precision,                         -- the next fire by its rule
    next_at       double precision,                         -- when that is looked at; NULL: it does not fire
    last          double precision,                         -- the latest fire that was looked at
    idle          bigint NOT NULL DEFAULT 0                 -- fires since the last one that made a job
)
--postgres: WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
;
CREATE INDEX schedules_next ON {schema}.schedules (next_at) WHERE next_at IS NOT NULL;

-- A fire that made a job, or several that made none, for one reason.
CREATE TABLE {schema}.fires (
    schedule   {ordered text} NOT NULL,
    at         double precision NOT NULL,                   -- the first
    until      double precision NOT NULL,                   -- the last
    decided_at double precision NOT NULL,
    job        {ordered text},                              -- its id
    reason     text,
    fires      bigint NOT NULL,                             -- how many
    at_least   boolean NOT NULL DEFAULT false,              -- there were more
    PRIMARY KEY (schedule, at, decided_at)                  -- a clock that goes back has it looked at again
)
--postgres: WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)
;
