-- Leases of owners, and what runs hold and want of pools.

-- When the owner last gave a sign of life; of a run that an older nbflow carries out there is none, and `created` counts.
ALTER TABLE runs ADD COLUMN heartbeat TEXT;

-- Few at any time, in a history of any length.
CREATE INDEX runs_going ON runs (created DESC, run DESC) WHERE state = 'running';

-- Only runs that hold or want slots have rows.
CREATE TABLE pools (
    run    TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    pool   TEXT NOT NULL,
    held   INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    since  TEXT,
    PRIMARY KEY (run, pool)
);

PRAGMA user_version = 2;
