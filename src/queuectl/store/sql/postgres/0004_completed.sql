-- Listing completed jobs at the same cost however many others wait.
-- oldest reader: 1

-- Each job enters it once, behind the others.
CREATE INDEX jobs_completed ON {schema}.jobs (seq) WHERE state = 'completed';
