-- Runs that were taken out for good.

-- Their rows are gone, their files may still be there: whoever takes out runs next removes these first.
CREATE TABLE removed (
    run      TEXT PRIMARY KEY NOT NULL,
    pipeline TEXT NOT NULL,
    at       TEXT NOT NULL
);

-- Which runs have taken over results of others; few tasks do.
CREATE INDEX tasks_by_origin ON tasks (json_extract(document, '$.reused_from'), run)
WHERE json_extract(document, '$.reused_from') IS NOT NULL;

PRAGMA user_version = 3;
