-- Which jobs wait for which, and where somebody still has to look at that.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN depends_on text;       -- JSON list, as domain/dependency.py spells them; NULL: none
ALTER TABLE {schema}.jobs ADD COLUMN unmet integer NOT NULL DEFAULT 0;  -- edges whose verdict is not 1

-- A dependency of a job. It outlives what it depends on: `verdict` and `why` keep what that meant.
CREATE TABLE {schema}.edges (
    child   bigint NOT NULL,                                -- jobs.seq
    ref     {ordered text} NOT NULL,                        -- as in jobs.depends_on
    parent  bigint,                                         -- jobs.seq; NULL: a batch
    batch   {ordered text},                                 -- its name; NULL: a job
    wants   {ordered text} NOT NULL,                        -- ok, any, failed
    verdict integer,                                        -- NULL: undecided; 1: met; 0: cannot hold
    why     text,                                           -- why it cannot
    PRIMARY KEY (child, ref)
)
--sqlite: WITHOUT ROWID
--postgres: WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)
;
CREATE INDEX edges_parent ON {schema}.edges (parent, verdict, child) WHERE parent IS NOT NULL;
CREATE INDEX edges_batch ON {schema}.edges (batch, verdict, child) WHERE batch IS NOT NULL;
CREATE INDEX edges_open ON {schema}.edges (child) WHERE verdict IS NULL;

-- Jobs and batches that have ended, were retried or removed, or that may have been while somebody came to depend on
-- them: somebody has to look at their edges. A row and what it tells of commit together; store/shared/settling.py.
CREATE TABLE {schema}.settlements (
    id    {number},
    job   bigint,                                           -- jobs.seq
    batch {ordered text},
    meant {ordered text}                                    -- the state in which a removed job was
)
--postgres: WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)
;

-- At commit: has somebody look at what new edges depend on if it has ended meanwhile, or is just about to. It waits for
-- nobody, and decides nothing. A transaction with a fixed view of the past cannot look, and leaves that to others.
--postgres: CREATE FUNCTION {schema}.edge_added() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
--postgres: SET search_path = pg_catalog, pg_temp AS $$
--postgres: DECLARE
--postgres:     seen constant text := NEW.parent || CASE WHEN NEW.verdict IS NULL THEN ' open' ELSE ' decided' END;
--postgres:     is_over boolean;
--postgres: BEGIN
--postgres:     IF NEW.parent IS NULL OR current_setting('queuectl.edge_seen', true) = seen THEN
--postgres:         RETURN NULL;
--postgres:     END IF;
--postgres:     PERFORM set_config('queuectl.edge_seen', seen, true);
--postgres:     IF current_setting('transaction_isolation') = 'read committed' THEN
--postgres:         SELECT state IN ('completed', 'dead', 'cancelled') INTO is_over
--postgres:         FROM {schema}.jobs WHERE seq = NEW.parent FOR SHARE SKIP LOCKED;
--postgres:     END IF;
--postgres:     IF is_over IS DISTINCT FROM (NEW.verdict IS NOT NULL) THEN
--postgres:         INSERT INTO {schema}.settlements (job) VALUES (NEW.parent);
--postgres:         PERFORM pg_notify('queuectl_' || TG_TABLE_SCHEMA, '');
--postgres:     END IF;
--postgres:     RETURN NULL;
--postgres: END $$;
--postgres: CREATE CONSTRAINT TRIGGER edge_added AFTER INSERT ON {schema}.edges DEFERRABLE INITIALLY DEFERRED
--postgres: FOR EACH ROW EXECUTE FUNCTION {schema}.edge_added();
