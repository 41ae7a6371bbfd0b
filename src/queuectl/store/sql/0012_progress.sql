-- What commands tell of themselves.
-- oldest reader: 2

ALTER TABLE {schema}.jobs ADD COLUMN progress text;   -- of the running command, as it says itself
ALTER TABLE {schema}.jobs ADD COLUMN result text;     -- JSON that the latest execution has left
ALTER TABLE {schema}.attempts ADD COLUMN note text;   -- why its result was not kept
