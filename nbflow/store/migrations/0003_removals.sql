-- Runs that were taken out for good.

-- Their rows are gone, their files may still be there: whoever takes out runs next removes these first.
CREATE TABLE removed (
    run      TEXT PRIMARY KEY NOT NULL,
    pipeline TEXT NOT NULL,
    at       TEXT NOT NULL
);

-- Which runs have taken over results of others; few tasks do. A document that a disk has damaged names none.
CREATE INDEX tasks_by_origin ON tasks (CASE WHEN json_valid(document) THEN json_extract(document, '$.reused_from') END, run)
WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.reused_from') END IS NOT NULL;

PRAGMA user_version = 3;
