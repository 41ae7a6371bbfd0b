-- Who is told of the runs of a schedule.
-- oldest reader: 2

ALTER TABLE {schema}.schedules ADD COLUMN alert text;                      -- a command or a URL
ALTER TABLE {schema}.schedules ADD COLUMN ping text;                       -- a URL
ALTER TABLE {schema}.schedules ADD COLUMN expect_within double precision;  -- a run has to end well within this
ALTER TABLE {schema}.schedules ADD COLUMN streak text;                     -- JSON: the runs that are not well just now
ALTER TABLE {schema}.schedules ADD COLUMN judged double precision;         -- the latest fire that was looked at for lateness
ALTER TABLE {schema}.schedules ADD COLUMN tell_at double precision;        -- when to look again
CREATE INDEX schedules_tell ON {schema}.schedules (tell_at) WHERE tell_at IS NOT NULL;

-- Runs that have ended, of schedules that keep streaks, until somebody has looked at them. A row commits with the end.
CREATE TABLE {schema}.run_ends (
    id       {number},
    schedule {ordered text} NOT NULL,
    job      {ordered text} NOT NULL,                       -- its id
    at       double precision NOT NULL,                     -- the time that it was for
    ended_at double precision NOT NULL,
    well     integer NOT NULL,                              -- 1: completed, 0: dead
    why      text
)
--postgres: WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)
;

-- Of hooks: whom they tell of what, so that one who is told is told in order.
ALTER TABLE {schema}.jobs ADD COLUMN tells {ordered text};
CREATE INDEX jobs_telling ON {schema}.jobs (tells, state) WHERE tells IS NOT NULL;
