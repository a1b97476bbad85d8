-- Every statement of the PostgreSQL store, by name. `%(name)s` are bound parameters.
-- Each that changes something is a transaction of its own, so that it costs one answer of the server.
-- A transaction that needs several tables locks them in this order: runs, pools, events, tasks. So none waits for another
-- that waits for it.
-- Arrays travel in binary (`%(name)b`): to write them as text takes several times as long as to keep them.

-- name: create_run
WITH made AS (
  INSERT INTO runs (run, pipeline, state, created, seq, document, owner, fence, heartbeat)
  VALUES (%(run)s, %(pipeline)s, %(state)s, %(created)s, %(seq)s, %(document)s, %(owner)s, %(fence)s,
    COALESCE(%(now)s::timestamptz, clock_timestamp()))
  ON CONFLICT (run) DO NOTHING
  RETURNING run, fence
), added AS (
  INSERT INTO events (run, seq, at, type, body, fence)
  SELECT made.run, one.seq, one.at, one.type, one.body, made.fence
  FROM made, unnest(%(seqs)b::bigint[], %(ats)b::text[], %(types)b::text[], %(bodies)b::text[])
    AS one (seq, at, type, body)
), put AS (
  INSERT INTO tasks (run, position, task, state, document, outputs, origin)
  SELECT made.run, one.position, one.task, one.state, one.document, one.outputs, one.origin
  FROM made, unnest(%(positions)b::bigint[], %(tasks)b::text[], %(states)b::text[], %(documents)b::text[], %(outputs)b::text[],
    %(origins)b::text[]) AS one (position, task, state, document, outputs, origin)
)
SELECT run FROM made;

-- name: append
WITH kept AS (
  UPDATE runs SET state = %(state)s, seq = %(seq)s, document = %(document)s,
    heartbeat = COALESCE(%(now)s::timestamptz, clock_timestamp())
  WHERE run = %(run)s AND seq = %(before)s AND fence = %(fence)s AND owner IS NOT NULL
  RETURNING run, fence
), used AS (
  INSERT INTO pools (run, pool, held, wanted, since)
  SELECT kept.run, one.pool, one.held, one.wanted, one.since
  FROM kept, unnest(%(pools)b::text[], %(held)b::bigint[], %(wanted)b::bigint[], %(since)b::text[])
    AS one (pool, held, wanted, since)
  ON CONFLICT (run, pool) DO UPDATE SET held = excluded.held, wanted = excluded.wanted, since = excluded.since
), added AS (
  INSERT INTO events (run, seq, at, type, body, fence)
  SELECT kept.run, one.seq, one.at, one.type, one.body, kept.fence
  FROM kept, unnest(%(seqs)b::bigint[], %(ats)b::text[], %(types)b::text[], %(bodies)b::text[])
    AS one (seq, at, type, body)
), put AS (
  INSERT INTO tasks (run, position, task, state, document, outputs, origin)
  SELECT kept.run, one.position, one.task, one.state, one.document, one.outputs, one.origin
  FROM kept, unnest(%(positions)b::bigint[], %(tasks)b::text[], %(states)b::text[], %(documents)b::text[], %(outputs)b::text[],
    %(origins)b::text[]) AS one (position, task, state, document, outputs, origin)
  ON CONFLICT (run, position) DO UPDATE
    SET task = excluded.task, state = excluded.state, document = excluded.document, outputs = excluded.outputs,
      origin = excluded.origin
)
SELECT run FROM kept;

-- name: find_event
SELECT at, body FROM events WHERE run = %(run)s AND seq = %(seq)s AND fence = %(fence)s;

-- name: claim_run
UPDATE runs SET owner = %(owner)s, fence = fence + 1, heartbeat = COALESCE(%(now)s::timestamptz, clock_timestamp())
WHERE run = %(run)s AND fence = %(fence)s
RETURNING run;

-- name: renew_run
UPDATE runs SET heartbeat = COALESCE(%(now)s::timestamptz, clock_timestamp())
WHERE run = %(run)s AND fence = %(fence)s AND owner IS NOT NULL
RETURNING run;

-- name: release_run
WITH freed AS (
  UPDATE runs SET owner = NULL WHERE run = %(run)s AND fence = %(fence)s RETURNING run
)
DELETE FROM pools USING freed WHERE pools.run = freed.run;

-- name: lock_pools
LOCK TABLE pools IN SHARE ROW EXCLUSIVE MODE;

-- name: read_pools
SELECT pools.run, pool, held, wanted, since, owner, owner IS NOT NULL
  AND heartbeat < COALESCE(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(lease)s)
FROM pools JOIN runs ON runs.run = pools.run
WHERE pools.run <> %(run)s AND (held <> 0 OR wanted <> 0)
ORDER BY pools.run, pool;

-- name: read_events
SELECT run, seq, at, type, body FROM events WHERE run = %(run)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s;

-- name: read_run
SELECT run, pipeline, state, created, seq, document, owner, fence, owner IS NOT NULL
  AND heartbeat < COALESCE(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(lease)s)
FROM runs WHERE run = %(run)s;

-- name: read_going
SELECT run, pipeline, state, created, seq, document, owner, fence, owner IS NOT NULL
  AND heartbeat < COALESCE(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(lease)s)
FROM runs WHERE state = 'running' OR owner IS NOT NULL ORDER BY created DESC, run DESC;

-- name: read_runs
SELECT run, pipeline, state, created, seq, document, owner, fence, owner IS NOT NULL
  AND heartbeat < COALESCE(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(lease)s)
FROM runs WHERE starts_with(run, %(prefix)s) AND (%(states)b::text[] IS NULL OR state = ANY(%(states)b::text[]))
ORDER BY created DESC, run DESC LIMIT %(limit)s;

-- name: read_runs_of_pipeline
SELECT run, pipeline, state, created, seq, document, owner, fence, owner IS NOT NULL
  AND heartbeat < COALESCE(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(lease)s)
FROM runs WHERE pipeline = %(pipeline)s
  AND starts_with(run, %(prefix)s) AND (%(states)b::text[] IS NULL OR state = ANY(%(states)b::text[]))
ORDER BY created DESC, run DESC LIMIT %(limit)s;

-- name: read_tasks
SELECT document FROM tasks WHERE run = %(run)s ORDER BY position;

-- name: read_last_success
SELECT tasks.run, tasks.document, tasks.outputs FROM runs
JOIN tasks ON tasks.run = runs.run AND tasks.task = %(task)s
WHERE runs.pipeline = %(pipeline)s AND tasks.state = 'succeeded'
ORDER BY runs.created DESC, runs.run DESC LIMIT 1;

-- name: post_request
INSERT INTO inbox (key, run, body)
SELECT %(key)s::uuid, run, %(body)s FROM runs WHERE run = %(run)s FOR KEY SHARE
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING id;

-- name: read_requests
SELECT 1 FROM inbox WHERE run = %(run)s AND taker IS NULL LIMIT 1;

-- name: take_requests
WITH taken AS (
  UPDATE inbox SET taker = %(taker)s::uuid
  WHERE run = %(run)s AND (taker IS NULL OR taker = %(taker)s::uuid)
  RETURNING id, body
)
SELECT body FROM taken ORDER BY id;

-- name: read_references
SELECT DISTINCT run, origin FROM tasks WHERE origin IS NOT NULL ORDER BY run, origin;

-- name: read_newest_success
SELECT runs.run FROM runs JOIN tasks ON tasks.run = runs.run
WHERE runs.pipeline = %(pipeline)s AND tasks.state = 'succeeded'
  AND (tasks.task = %(task)s OR starts_with(tasks.task, %(task)s || '['))
ORDER BY runs.created DESC, runs.run DESC LIMIT 1;

-- name: lock_for_removal
LOCK TABLE pools, tasks IN SHARE ROW EXCLUSIVE MODE;

-- name: read_taker
SELECT run FROM tasks WHERE origin = %(run)s AND run <> %(run)s LIMIT 1;

-- name: remove_run
WITH gone AS (
  DELETE FROM runs WHERE run = %(run)s AND fence = %(fence)s AND owner IS NOT NULL
  RETURNING run, pipeline
)
INSERT INTO removed (run, pipeline, at) SELECT run, pipeline, clock_timestamp() FROM gone
ON CONFLICT (run) DO UPDATE SET at = excluded.at
RETURNING run;

-- name: find_removed
SELECT 1 FROM removed WHERE run = %(run)s;

-- name: read_removed
SELECT run, pipeline FROM removed ORDER BY at, run;

-- name: forget_removed
DELETE FROM removed WHERE run = %(run)s;

-- name: begin_session
SELECT
  set_config('search_path', CASE source WHEN 'client' THEN setting ELSE 'nbflow' END, false),
  set_config('default_transaction_isolation', 'read committed', false),
  set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
  set_config('statement_timeout', '60s', false),
  set_config('lock_timeout', '40s', false),
  set_config('idle_in_transaction_session_timeout', '30s', false)
FROM pg_settings WHERE name = 'search_path';

-- name: read_server
SELECT current_setting('server_version_num')::integer, current_setting('server_version'), current_setting('server_encoding');

-- name: read_schema
SELECT parse_ident(current_setting('search_path'));

-- name: has_tables
-- Names are looked up in tables, not by to_regclass(): that may answer from before a lock was waited for.
SELECT EXISTS (
  SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = %(schema)s AND relname = 'nbflow_version'
);

-- name: has_schema
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s);

-- name: make_schema
CREATE SCHEMA {schema};

-- name: lock_schema
SELECT pg_advisory_xact_lock(hashtext('nbflow'), hashtext(%(schema)s));

-- name: read_version
SELECT max(number) FROM nbflow_version;

-- name: note_version
INSERT INTO nbflow_version (number) VALUES (%(number)s);
