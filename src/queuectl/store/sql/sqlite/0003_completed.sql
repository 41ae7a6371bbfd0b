-- Listing completed jobs at the same cost however many others wait.
-- oldest reader: 1

-- Each job enters it once, behind the others; see docs/decisions/0072-completed-jobs-have-an-index-too.md.
CREATE INDEX jobs_completed ON jobs (seq) WHERE state = 'completed';
