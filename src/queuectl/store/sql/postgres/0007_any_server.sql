-- What works whatever a server is told: logical replication of all tables, and sessions with settings of their own.
-- oldest reader: 1

-- Where a publication is for all tables, rows of a table without a key can neither be changed nor removed. These two
-- have no key, and their rows are short.
ALTER TABLE {schema}.counts REPLICA IDENTITY FULL;
ALTER TABLE {schema}.uses REPLICA IDENTITY FULL;

-- The backslashes in its texts must not depend on the application's session.
ALTER FUNCTION {schema}.enqueue(jsonb) SET standard_conforming_strings = on;
