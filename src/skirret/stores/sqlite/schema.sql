-- Layout 1 of the embedded file. A message is in `message` and in exactly one of `ready`, `delayed` and `held`.
-- Times are seconds since the epoch, by this machine's clock.

-- Where each counter stands: 'place' (order of messages, and their ids), 'hint' (broadcasts).
CREATE TABLE counter_of (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter_of VALUES ('place', 0), ('hint', 0);

CREATE TABLE queue (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- `rank` is 9 - priority, so that what runs first sorts first.
CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  rank INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  expires REAL,
  deliveries INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  first_delivered REAL NOT NULL DEFAULT 0,
  raw BLOB NOT NULL
) STRICT;

-- A take reads a prefix of one queue's part of this tree, so that its cost does not depend on what waits behind.
CREATE TABLE ready (
  queue TEXT NOT NULL,
  rank INTEGER NOT NULL,
  place INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (queue, rank, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE delayed (
  queue TEXT NOT NULL,
  due REAL NOT NULL,
  place INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (queue, due, place)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number that was fenced never comes back.
CREATE TABLE consumer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  cid TEXT NOT NULL UNIQUE,
  beat INTEGER NOT NULL DEFAULT 0,
  home TEXT NOT NULL,
  pid INTEGER NOT NULL,
  birth INTEGER NOT NULL
) STRICT;

CREATE TABLE held (
  owner INTEGER NOT NULL,
  tag INTEGER NOT NULL,
  id INTEGER NOT NULL,
  place INTEGER NOT NULL,
  since REAL NOT NULL,
  PRIMARY KEY (owner, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL,
  rank INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  expires REAL,
  deliveries INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  raw BLOB NOT NULL,
  reason TEXT NOT NULL,
  died REAL NOT NULL
) STRICT;
CREATE INDEX dead_by_queue ON dead (queue);

-- Publish calls of the last seconds, so that a repeated one adds nothing.
CREATE TABLE nonce (nonce TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;

-- With a rowid, payloads are appended and only the small index is written at random: 1.7 times as fast as without.
-- `weight` is 0 unfinished, 1 finished, 2 SUCCESS: a heavier result replaces a lighter one, and anything a 0.
CREATE TABLE result (
  task_id TEXT PRIMARY KEY,
  weight INTEGER NOT NULL,
  expires REAL,
  payload BLOB NOT NULL
) STRICT;
CREATE INDEX result_by_end ON result (expires) WHERE expires IS NOT NULL;

CREATE TABLE hint (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, at REAL NOT NULL) STRICT;

-- Coordination.
CREATE TABLE value (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL) STRICT, WITHOUT ROWID;
CREATE TABLE count (key TEXT PRIMARY KEY, value INTEGER NOT NULL, expires REAL) STRICT, WITHOUT ROWID;
CREATE TABLE bucket (key TEXT PRIMARY KEY, tokens REAL NOT NULL, at REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE member (key TEXT NOT NULL, member TEXT NOT NULL, expires REAL, PRIMARY KEY (key, member)) STRICT, WITHOUT ROWID;
CREATE TABLE lease (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) STRICT, WITHOUT ROWID;
