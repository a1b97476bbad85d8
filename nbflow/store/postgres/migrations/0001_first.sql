-- Runs, their events, and the projections that lists are made from. Documents are text: they hold what no jsonb does.
CREATE TABLE nbflow_version (number integer NOT NULL);

CREATE TABLE runs (
    run       text COLLATE "C" PRIMARY KEY,
    pipeline  text COLLATE "C" NOT NULL,
    state     text NOT NULL,
    created   text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    document  text NOT NULL,
    owner     text,
    fence     bigint NOT NULL DEFAULT 0,
    heartbeat timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX runs_by_time ON runs (created DESC, run DESC);
CREATE INDEX runs_by_pipeline ON runs (pipeline, created DESC, run DESC);
CREATE INDEX runs_going ON runs (created DESC, run DESC) WHERE state = 'running';

-- The fence under which an event was kept: by it an engine knows its own after a commit whose answer it never got.
CREATE TABLE events (
    run   text COLLATE "C" NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    seq   bigint NOT NULL,
    at    text NOT NULL,
    type  text NOT NULL,
    body  text NOT NULL,
    fence bigint NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE tasks (
    run      text COLLATE "C" NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    position bigint NOT NULL,
    task     text COLLATE "C" NOT NULL,
    state    text NOT NULL,
    document text NOT NULL,
    outputs  text,
    origin   text COLLATE "C", -- the run whose result it is, where it was taken over
    PRIMARY KEY (run, position),
    UNIQUE (run, task)
);
CREATE INDEX tasks_by_origin ON tasks (origin, run) WHERE origin IS NOT NULL;

-- Requests stay once they are taken, by whom: so each is given once, whenever a connection breaks.
CREATE TABLE inbox (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key   uuid NOT NULL UNIQUE,
    run   text COLLATE "C" NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    body  text NOT NULL,
    taker uuid
);
CREATE INDEX inbox_by_run ON inbox (run, id);

-- What runs hold and want of pools.
CREATE TABLE pools (
    run    text COLLATE "C" NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    pool   text COLLATE "C" NOT NULL,
    held   bigint NOT NULL,
    wanted bigint NOT NULL,
    since  text,
    PRIMARY KEY (run, pool)
);

-- Runs that were taken out: their rows are gone, their files may still be there.
CREATE TABLE removed (
    run      text COLLATE "C" PRIMARY KEY,
    pipeline text NOT NULL,
    at       timestamptz NOT NULL
);
