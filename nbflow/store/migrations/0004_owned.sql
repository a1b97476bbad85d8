-- Runs that have ended and still have an owner are found at once as well: its process may have died before it let go.

DROP INDEX runs_going;
CREATE INDEX runs_going ON runs (created DESC, run DESC) WHERE state = 'running' OR owner IS NOT NULL;

PRAGMA user_version = 4;
