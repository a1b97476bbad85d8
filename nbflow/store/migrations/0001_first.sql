-- Runs, their events, and the projections that lists are made from.
PRAGMA application_id = 1851942508; -- "nbfl": by it nbflow knows its own files

CREATE TABLE runs (
    run      TEXT PRIMARY KEY NOT NULL,
    pipeline TEXT NOT NULL,
    state    TEXT NOT NULL,
    created  TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    document TEXT NOT NULL,
    owner    TEXT,
    fence    INTEGER NOT NULL DEFAULT 0
);
-- With the state in them, both answer the filters of a list without a look at the rows.
CREATE INDEX runs_by_time ON runs (created DESC, run DESC, state);
CREATE INDEX runs_by_pipeline ON runs (pipeline, created DESC, run DESC, state);

CREATE TABLE events (
    run  TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    seq  INTEGER NOT NULL,
    at   TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE tasks (
    run      TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    task     TEXT NOT NULL,
    state    TEXT NOT NULL,
    document TEXT NOT NULL,
    outputs  TEXT,
    PRIMARY KEY (run, position)
);
CREATE UNIQUE INDEX tasks_by_name ON tasks (run, task);

CREATE TABLE inbox (
    id   INTEGER PRIMARY KEY,
    run  TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    body TEXT NOT NULL
);
CREATE INDEX inbox_by_run ON inbox (run, id);

PRAGMA user_version = 1;
