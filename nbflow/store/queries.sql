-- Every statement of the SQLite store, by name. `:name` are bound parameters.
-- What SET names has its indices written anew, even where it stays as it is. So `update_run` is for a run whose state
-- does, and `update_task` for a task that has its row: nearly all appends.

-- name: create_run
INSERT INTO runs (run, pipeline, state, created, seq, document, owner, fence, heartbeat)
VALUES (:run, :pipeline, :state, :created, :seq, :document, :owner, :fence, :now);

-- name: update_run
UPDATE runs SET seq = :seq, document = :document, heartbeat = :now
WHERE run = :run AND seq = :before AND fence = :fence AND owner IS NOT NULL AND state = :state;

-- name: move_run
UPDATE runs SET state = :state, seq = :seq, document = :document, heartbeat = :now
WHERE run = :run AND seq = :before AND fence = :fence AND owner IS NOT NULL;

-- name: add_event
INSERT INTO events (run, seq, at, type, body) VALUES (:run, :seq, :at, :type, :body);

-- name: update_task
UPDATE tasks SET state = :state, document = :document, outputs = :outputs
WHERE run = :run AND position = :position AND task = :task;

-- name: put_task
INSERT INTO tasks (run, position, task, state, document, outputs)
VALUES (:run, :position, :task, :state, :document, :outputs)
ON CONFLICT (run, position) DO UPDATE SET task = excluded.task, state = excluded.state, document = excluded.document, outputs = excluded.outputs;

-- name: claim_run
UPDATE runs SET owner = :owner, fence = fence + 1, heartbeat = :now WHERE run = :run AND fence = :fence;

-- name: renew_run
UPDATE runs SET heartbeat = :now WHERE run = :run AND fence = :fence AND owner IS NOT NULL;

-- name: release_run
UPDATE runs SET owner = NULL WHERE run = :run AND fence = :fence;

-- name: put_pool
INSERT INTO pools (run, pool, held, wanted, since) VALUES (:run, :pool, :held, :wanted, :since)
ON CONFLICT (run, pool) DO UPDATE SET held = excluded.held, wanted = excluded.wanted, since = excluded.since;

-- name: drop_pool
DELETE FROM pools WHERE run = :run AND pool = :pool;

-- name: drop_pools
DELETE FROM pools WHERE run = :run;

-- name: read_pools
SELECT pools.run, pool, held, wanted, since, owner, owner IS NOT NULL AND COALESCE(heartbeat, created) NOT BETWEEN :expired AND :ahead
FROM pools JOIN runs ON runs.run = pools.run
WHERE pools.run <> :run ORDER BY pools.run, pool;

-- name: read_events
SELECT run, seq, at, type, body FROM events WHERE run = :run AND seq > :after ORDER BY seq LIMIT :limit;

-- name: read_run
SELECT run, pipeline, state, created, seq, document, owner, fence,
  owner IS NOT NULL AND COALESCE(heartbeat, created) NOT BETWEEN :expired AND :ahead
FROM runs WHERE run = :run;

-- name: read_runs
SELECT run, pipeline, state, created, seq, document, owner, fence,
  owner IS NOT NULL AND COALESCE(heartbeat, created) NOT BETWEEN :expired AND :ahead
FROM runs WHERE substr(run, 1, length(:prefix)) = :prefix
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
ORDER BY created DESC, run DESC LIMIT :limit;

-- name: read_runs_of_pipeline
SELECT run, pipeline, state, created, seq, document, owner, fence,
  owner IS NOT NULL AND COALESCE(heartbeat, created) NOT BETWEEN :expired AND :ahead
FROM runs WHERE pipeline = :pipeline AND substr(run, 1, length(:prefix)) = :prefix
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
ORDER BY created DESC, run DESC LIMIT :limit;

-- name: read_going
SELECT run, pipeline, state, created, seq, document, owner, fence,
  owner IS NOT NULL AND COALESCE(heartbeat, created) NOT BETWEEN :expired AND :ahead
FROM runs WHERE state = 'running' OR owner IS NOT NULL ORDER BY created DESC, run DESC;

-- name: read_tasks
SELECT document FROM tasks WHERE run = :run ORDER BY position;

-- name: read_last_success
SELECT tasks.run, tasks.document, tasks.outputs FROM runs
JOIN tasks ON tasks.run = runs.run AND tasks.task = :task
WHERE runs.pipeline = :pipeline AND tasks.state = 'succeeded'
ORDER BY runs.created DESC, runs.run DESC LIMIT 1;

-- name: post_request
INSERT INTO inbox (run, body) VALUES (:run, :body);

-- name: read_requests
SELECT body FROM inbox WHERE run = :run ORDER BY id;

-- name: drop_requests
DELETE FROM inbox WHERE run = :run;

-- name: read_references
SELECT DISTINCT run, CASE WHEN json_valid(document) THEN json_extract(document, '$.reused_from') END FROM tasks
WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.reused_from') END IS NOT NULL ORDER BY 1, 2;

-- name: read_taker
SELECT run FROM tasks WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.reused_from') END = :run AND run <> :run LIMIT 1;

-- name: read_newest_success
SELECT runs.run FROM runs JOIN tasks ON tasks.run = runs.run
WHERE runs.pipeline = :pipeline AND tasks.state = 'succeeded'
  AND (tasks.task = :task OR substr(tasks.task, 1, length(:task) + 1) = :task || '[')
ORDER BY runs.created DESC, runs.run DESC LIMIT 1;

-- name: note_removed
INSERT INTO removed (run, pipeline, at) VALUES (:run, :pipeline, :at)
ON CONFLICT (run) DO UPDATE SET at = excluded.at;

-- name: remove_run
DELETE FROM runs WHERE run = :run;

-- name: read_removed
SELECT run, pipeline FROM removed ORDER BY at, run;

-- name: count_removed
SELECT count(*) FROM removed;

-- name: forget_removed
DELETE FROM removed WHERE run = :run;

-- name: overwrite_removed
PRAGMA secure_delete = ON;

-- name: count_free
PRAGMA freelist_count;

-- name: read_page_size
PRAGMA page_size;

-- name: give_back_space
PRAGMA incremental_vacuum(1000);

-- name: cut_log
PRAGMA wal_checkpoint(TRUNCATE);

-- name: check_deeply
PRAGMA integrity_check(10);

-- name: check_pages
PRAGMA quick_check(10);

-- name: list_schema
SELECT type || ' ' || name FROM sqlite_master WHERE substr(name, 1, 7) <> 'sqlite_';

-- name: count_runs
SELECT count(*) FROM runs;

-- name: ask_once
PRAGMA busy_timeout = 0;

-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: write_ahead
PRAGMA journal_mode = WAL;

-- name: cut_journal
PRAGMA journal_mode = TRUNCATE;

-- name: read_journal
PRAGMA journal_mode;

-- name: use_alone
PRAGMA locking_mode = EXCLUSIVE;

-- name: use_together
PRAGMA locking_mode = NORMAL;

-- name: reuse_space
PRAGMA auto_vacuum = INCREMENTAL;

-- name: sync_each_commit
PRAGMA synchronous = FULL;

-- name: check_references
PRAGMA foreign_keys = ON;

-- name: read_application
PRAGMA application_id;

-- name: read_version
PRAGMA user_version;

-- name: find_broken_references
PRAGMA foreign_key_check;
