BEGIN TRANSACTION;
CREATE TABLE events (
    run  TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    seq  INTEGER NOT NULL,
    at   TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, seq)
);
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',1,'2026-11-22T21:03:31.083751+00:00','run_created','{"run":"small-20261122T210000-k3fa","pipeline":"small","logical_date":"2026-11-22T21:03:31+00:00","plan":{"pipeline":"small","tasks":[{"name":"first","base":"first","slug":"first","notebook":"first.ipynb","reason":"no upstream","weight":3,"sha256":"7768f81162a41f32ff9d42ea9c35426b6630e545c4a69a07091864b7fd227353"},{"name":"second","base":"second","slug":"second","notebook":"second.ipynb","upstream":["first"],"waits_for":["first"],"reason":"after first","params":{"n":"{{ tasks.first.outputs.n }}"},"accepts":["n"],"retry":{"retries":1},"weight":2,"sha256":"257ea80325f16527cfefe12ca51e3f4f45d76a86bfd83610d618642dcb55fb7d"},{"name":"third[a]","base":"third","slug":"third.a","notebook":"third.ipynb","upstream":["second"],"waits_for":["second"],"reason":"after second","accepts":["x"],"matrix":{"x":"a"},"sha256":"1a638a62cd0b6b012004babbc1f62cf5b29df8a51dfd936a35fedd7502f1cf17"},{"name":"third[b]","base":"third","slug":"third.b","notebook":"third.ipynb","upstream":["second"],"waits_for":["second"],"reason":"after second","accepts":["x"],"matrix":{"x":"b"},"sha256":"1a638a62cd0b6b012004babbc1f62cf5b29df8a51dfd936a35fedd7502f1cf17"}]},"settings":{"root":"@ROOT@","outputs":"outputs","folder":"small/small-20261122T210000-k3fa","journals":"@ROOT@/outputs/.nbflow/journals/small-20261122T210000-k3fa","jobs":2,"facts":{"nbflow":"0.1.0","python":"3.11.7","platform":"Linux","host":"host","git":null}},"params":{"day":{"$date":"2026-01-31"}}}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',2,'2026-11-22T21:03:31.257829+00:00','run_started','{"owner":"host:28960:3615594"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',3,'2026-11-22T21:03:31.257829+00:00','task_queued','{"task":"first","reason":"no upstream"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',4,'2026-11-22T21:03:31.257829+00:00','attempt_submitted','{"task":"first","attempt":1}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',5,'2026-11-22T21:03:34.471146+00:00','attempt_started','{"task":"first","attempt":1,"pid":28983,"host":"host","kernel":"python3","cells":1}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',6,'2026-11-22T21:03:34.508406+00:00','cell_started','{"task":"first","attempt":1,"cell":0,"number":1,"title":"import nbflow"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',7,'2026-11-22T21:03:34.654678+00:00','cell_ended','{"task":"first","attempt":1,"cell":0,"number":1,"state":"ok","duration":0.116791,"preview":"n = 7\nfirst\n"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',8,'2026-11-22T21:03:35.097304+00:00','attempt_ended','{"task":"first","attempt":1,"outcome":{"verdict":"succeeded","cells":{"total":1,"ok":1},"outputs":{"n":7},"files":[{"path":"small/small-20261122T210000-k3fa/first.ipynb","size":7860,"sha256":"5a9f47764ecaa766980a19dcc14bb1eb4c911c08a461b27a08df449540759a77"},{"path":"small/small-20261122T210000-k3fa/first.html","size":36,"sha256":"edfb5a6c61a67765f7ab6fe92e5d99ac2bb4af51c747afa9252a1a610ffc6475"}],"duration":0.445424,"kernel":"python3","cpu_seconds":0.122461,"peak_memory":48943104}}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',9,'2026-11-22T21:03:35.097304+00:00','task_succeeded','{"task":"first"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',10,'2026-11-22T21:03:35.097304+00:00','task_queued','{"task":"second","reason":"after first","params":{"n":7}}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',11,'2026-11-22T21:03:35.097304+00:00','attempt_submitted','{"task":"second","attempt":1}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',12,'2026-11-22T21:03:35.326371+00:00','attempt_started','{"task":"second","attempt":1,"pid":29054,"host":"host","kernel":"python3","cells":4}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',13,'2026-11-22T21:03:35.338160+00:00','cell_started','{"task":"second","attempt":1,"cell":0,"number":1,"title":"n = 0"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',14,'2026-11-22T21:03:35.364656+00:00','cell_ended','{"task":"second","attempt":1,"cell":0,"number":1,"state":"ok","duration":0.021078}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',15,'2026-11-22T21:03:35.375820+00:00','cell_started','{"task":"second","attempt":1,"cell":1,"number":2,"title":"Parameters"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',16,'2026-11-22T21:03:35.393072+00:00','cell_ended','{"task":"second","attempt":1,"cell":1,"number":2,"state":"ok","duration":0.025115}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',17,'2026-11-22T21:03:35.393072+00:00','cell_started','{"task":"second","attempt":1,"cell":2,"number":3,"title":"print(''n is'', n)"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',18,'2026-11-22T21:03:35.419769+00:00','cell_ended','{"task":"second","attempt":1,"cell":2,"number":3,"state":"ok","duration":0.024168,"preview":"n is 7\n"}');
INSERT INTO "events" VALUES('small-20261122T210000-k3fa',19,'2026-11-22T21:03:35.427537+00:00','cell_started','{"task":"second","attempt":1,"cell":3,"number":4,"title":"import os, time"}');
CREATE TABLE inbox (
    id   INTEGER PRIMARY KEY,
    run  TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    body TEXT NOT NULL
);
CREATE TABLE pools (
    run    TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    pool   TEXT NOT NULL,
    held   INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    since  TEXT,
    PRIMARY KEY (run, pool)
);
CREATE TABLE runs (
    run      TEXT PRIMARY KEY NOT NULL,
    pipeline TEXT NOT NULL,
    state    TEXT NOT NULL,
    created  TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    document TEXT NOT NULL,
    owner    TEXT,
    fence    INTEGER NOT NULL DEFAULT 0
, heartbeat TEXT);
INSERT INTO "runs" VALUES('small-20261122T210000-k3fa','small','running','2026-11-22T21:03:31.083751+00:00',19,'{"schema":"nbflow.run/1","run":"small-20261122T210000-k3fa","pipeline":"small","state":"running","logical_date":"2026-11-22T21:03:31Z","created":"2026-11-22T21:03:31.083Z","started":"2026-11-22T21:03:31.257Z","ended":null,"trigger":"manual","stopped":null,"params":{"day":"2026-01-31"}}','host:28960:3615594',1,'2026-11-22T21:03:35.427806+00:00');
CREATE TABLE tasks (
    run      TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    task     TEXT NOT NULL,
    state    TEXT NOT NULL,
    document TEXT NOT NULL,
    outputs  TEXT,
    PRIMARY KEY (run, position)
);
INSERT INTO "tasks" VALUES('small-20261122T210000-k3fa',1,'second','running','{"task":"second","state":"running","reused_from":null,"reason":"after first","attempts":1,"started":"2026-11-22T21:03:35.097Z","ended":null,"error":null,"outputs":{},"cells":{"total":0,"ok":0,"failed":0,"skipped":0,"not_run":0},"notebook":null,"html":null,"upstream":["first"],"params":{"n":7}}',NULL);
INSERT INTO "tasks" VALUES('small-20261122T210000-k3fa',3,'third[b]','pending','{"task":"third[b]","state":"pending","reused_from":null,"reason":"","attempts":0,"started":null,"ended":null,"error":null,"outputs":{},"cells":{"total":0,"ok":0,"failed":0,"skipped":0,"not_run":0},"notebook":null,"html":null,"upstream":["second"],"params":{}}',NULL);
INSERT INTO "tasks" VALUES('small-20261122T210000-k3fa',2,'third[a]','pending','{"task":"third[a]","state":"pending","reused_from":null,"reason":"","attempts":0,"started":null,"ended":null,"error":null,"outputs":{},"cells":{"total":0,"ok":0,"failed":0,"skipped":0,"not_run":0},"notebook":null,"html":null,"upstream":["second"],"params":{}}',NULL);
INSERT INTO "tasks" VALUES('small-20261122T210000-k3fa',0,'first','succeeded','{"task":"first","state":"succeeded","reused_from":null,"reason":"no upstream","attempts":1,"started":"2026-11-22T21:03:31.257Z","ended":"2026-11-22T21:03:35.097Z","error":null,"outputs":{"n":7},"cells":{"total":1,"ok":1,"failed":0,"skipped":0,"not_run":0},"notebook":"outputs/small/small-20261122T210000-k3fa/first.ipynb","html":"outputs/small/small-20261122T210000-k3fa/first.html","upstream":[],"params":{}}','{"n":7}');
CREATE INDEX runs_by_time ON runs (created DESC, run DESC, state);
CREATE INDEX runs_by_pipeline ON runs (pipeline, created DESC, run DESC, state);
CREATE UNIQUE INDEX tasks_by_name ON tasks (run, task);
CREATE INDEX inbox_by_run ON inbox (run, id);
CREATE INDEX runs_going ON runs (created DESC, run DESC) WHERE state = 'running';
COMMIT;
PRAGMA application_id = 1851942508;
PRAGMA user_version = 2;
