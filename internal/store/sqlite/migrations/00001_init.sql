-- +goose Up
CREATE TABLE clock (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	hwm     INTEGER NOT NULL, -- the lease clock's high-water mark
	version INTEGER NOT NULL  -- of the catalogue and directory
);
INSERT INTO clock (id, hwm, version) VALUES (1, 0, 1);

CREATE TABLE users (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	username      TEXT NOT NULL,
	name          TEXT NOT NULL,
	email         TEXT NOT NULL,
	role          TEXT NOT NULL,
	status        TEXT NOT NULL,
	source        TEXT NOT NULL,
	password_hash TEXT NOT NULL,
	created_at    INTEGER NOT NULL,
	deleted_at    INTEGER NOT NULL
);
CREATE UNIQUE INDEX users_username ON users (lower(username)) WHERE deleted_at = 0;

CREATE TABLE user_groups (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT NOT NULL,
	source     TEXT NOT NULL,
	created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX user_groups_name ON user_groups (lower(name));

CREATE TABLE group_members (
	group_id INTEGER NOT NULL,
	user_id  INTEGER NOT NULL,
	PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE apps (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	name        TEXT NOT NULL,
	description TEXT NOT NULL,
	status      TEXT NOT NULL,
	created_at  INTEGER NOT NULL,
	deleted_at  INTEGER NOT NULL
);
CREATE UNIQUE INDEX apps_name ON apps (lower(name)) WHERE deleted_at = 0;

CREATE TABLE delivery_methods (
	id                INTEGER PRIMARY KEY AUTOINCREMENT,
	app_id            INTEGER NOT NULL REFERENCES apps (id),
	name              TEXT NOT NULL,
	kind              TEXT NOT NULL,
	licence           TEXT NOT NULL,
	offline_seconds   INTEGER NOT NULL,
	seats             INTEGER NOT NULL,
	heartbeat_seconds INTEGER NOT NULL,
	warnings          TEXT NOT NULL, -- JSON
	successor_id      INTEGER NOT NULL,
	packages          TEXT NOT NULL, -- JSON
	stream            TEXT NOT NULL, -- JSON
	created_at        INTEGER NOT NULL,
	deleted_at        INTEGER NOT NULL
);
CREATE INDEX delivery_methods_app ON delivery_methods (app_id);

CREATE TABLE provisions (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT NOT NULL,
	starts_at  INTEGER NOT NULL,
	ends_at    INTEGER NOT NULL,
	enabled    INTEGER NOT NULL,
	ownership  TEXT NOT NULL,
	networks   TEXT NOT NULL, -- JSON
	created_at INTEGER NOT NULL,
	deleted_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX provisions_name ON provisions (lower(name)) WHERE deleted_at = 0;

CREATE TABLE provision_users (
	provision_id INTEGER NOT NULL,
	user_id      INTEGER NOT NULL,
	PRIMARY KEY (provision_id, user_id)
);
CREATE INDEX provision_users_user ON provision_users (user_id);

-- Who is let in by a provision's users or groups, but not to this app.
CREATE TABLE provision_exceptions (
	provision_id INTEGER NOT NULL,
	user_id      INTEGER NOT NULL,
	app_id       INTEGER NOT NULL,
	PRIMARY KEY (provision_id, user_id, app_id)
);

CREATE TABLE provision_groups (
	provision_id INTEGER NOT NULL,
	group_id     INTEGER NOT NULL,
	PRIMARY KEY (provision_id, group_id)
);
CREATE INDEX provision_groups_group ON provision_groups (group_id);

CREATE TABLE provision_methods (
	provision_id       INTEGER NOT NULL,
	delivery_method_id INTEGER NOT NULL,
	PRIMARY KEY (provision_id, delivery_method_id)
);
CREATE INDEX provision_methods_method ON provision_methods (delivery_method_id);

CREATE TABLE agents (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	kind          TEXT NOT NULL,
	name          TEXT NOT NULL,
	os            TEXT NOT NULL,
	arch          TEXT NOT NULL,
	version       TEXT NOT NULL,
	simulated     INTEGER NOT NULL,
	ownership     TEXT NOT NULL,
	pool          TEXT NOT NULL,
	slots         INTEGER NOT NULL,
	credential    BLOB NOT NULL,
	created_at    INTEGER NOT NULL,
	deleted_at    INTEGER NOT NULL,
	last_check_in INTEGER NOT NULL,
	token         TEXT NOT NULL,
	previous      TEXT NOT NULL,
	quarantined   INTEGER NOT NULL,
	epoch         INTEGER NOT NULL,
	seq           INTEGER NOT NULL
);
CREATE INDEX agents_name ON agents (kind, lower(name), id) WHERE deleted_at = 0;

-- Written behind and in bulk, so it is narrow and has no further index.
CREATE TABLE agent_seen (
	agent_id INTEGER PRIMARY KEY,
	at       INTEGER NOT NULL
);

CREATE TABLE device_users (
	user_id  INTEGER NOT NULL,
	agent_id INTEGER NOT NULL,
	used_at  INTEGER NOT NULL,
	PRIMARY KEY (user_id, agent_id)
);

CREATE TABLE enrolment_keys (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	kind       TEXT NOT NULL,
	hash       BLOB NOT NULL UNIQUE,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	simulated  INTEGER NOT NULL,
	ownership  TEXT NOT NULL
);

CREATE TABLE sessions (
	id                 INTEGER PRIMARY KEY AUTOINCREMENT,
	kind               TEXT NOT NULL,
	user_id            INTEGER NOT NULL,
	app_id             INTEGER NOT NULL,
	delivery_method_id INTEGER NOT NULL,
	provision_id       INTEGER NOT NULL,
	agent_id           INTEGER NOT NULL,
	status             TEXT NOT NULL,
	reason             TEXT NOT NULL,
	status_since       INTEGER NOT NULL,
	before             TEXT NOT NULL,
	unneeded           TEXT NOT NULL,
	observed           TEXT NOT NULL,
	observed_since     INTEGER NOT NULL,
	run                INTEGER NOT NULL,
	run_method         INTEGER NOT NULL,
	progress           INTEGER NOT NULL,
	problem            TEXT NOT NULL,
	viewers            INTEGER NOT NULL,
	unwatched_since    INTEGER NOT NULL,
	idle_at            INTEGER NOT NULL,
	said               INTEGER NOT NULL,
	told               INTEGER NOT NULL,
	mark               INTEGER NOT NULL,
	wanted             INTEGER NOT NULL,
	stored             INTEGER NOT NULL,
	ended              INTEGER NOT NULL,
	started_at         INTEGER NOT NULL,
	first_run_at       INTEGER NOT NULL,
	last_activity_at   INTEGER NOT NULL,
	ended_at           INTEGER NOT NULL,
	deleted_at         INTEGER NOT NULL,
	gone               INTEGER NOT NULL, -- 1 once deleted: every index leads with it, so that no list walks the history
	live               INTEGER NOT NULL, -- its agent still has to do with it
	duration_sort      INTEGER NOT NULL, -- of one that has ended how long it was, of another one its start, negated
	order_id           INTEGER,
	user_sort          TEXT NOT NULL,
	email_sort         TEXT NOT NULL,
	app_sort           TEXT NOT NULL,
	provision_sort     TEXT NOT NULL,
	method_sort        TEXT NOT NULL,
	agent_sort         TEXT NOT NULL
);
CREATE INDEX sessions_gone ON sessions (gone, id);
CREATE INDEX sessions_deleted ON sessions (deleted_at) WHERE deleted_at > 0;
CREATE INDEX sessions_user ON sessions (gone, user_id, id);
CREATE INDEX sessions_app ON sessions (gone, app_id, id);
CREATE INDEX sessions_provision ON sessions (gone, provision_id, id);
CREATE INDEX sessions_method ON sessions (gone, delivery_method_id, id);
CREATE INDEX sessions_agent ON sessions (gone, agent_id, id);
CREATE INDEX sessions_live ON sessions (agent_id) WHERE live = 1;
CREATE INDEX sessions_status ON sessions (gone, status, id);
CREATE INDEX sessions_user_sort ON sessions (gone, user_sort, id);
CREATE INDEX sessions_app_sort ON sessions (gone, app_sort, id);
CREATE INDEX sessions_email_sort ON sessions (gone, email_sort, id);
CREATE INDEX sessions_provision_sort ON sessions (gone, provision_sort, id);
CREATE INDEX sessions_method_sort ON sessions (gone, method_sort, id);
CREATE INDEX sessions_agent_sort ON sessions (gone, agent_sort, id);
CREATE INDEX sessions_since ON sessions (gone, status_since, id);
CREATE INDEX sessions_started ON sessions (gone, started_at, id);
CREATE INDEX sessions_activity ON sessions (gone, last_activity_at, id);
CREATE INDEX sessions_duration ON sessions (gone, duration_sort, id);

-- One row a lease that is out. Renewals write only here, so there is no further index.
CREATE TABLE leases (
	session_id         INTEGER PRIMARY KEY,
	delivery_method_id INTEGER NOT NULL,
	kind               TEXT NOT NULL,
	generation         INTEGER NOT NULL,
	run                INTEGER NOT NULL,
	granted_at         INTEGER NOT NULL,
	expires_at         INTEGER NOT NULL,
	free_at            INTEGER NOT NULL
);

-- Browsers that wait for a host to bring a session's display.
CREATE TABLE tunnels (
	ticket     TEXT PRIMARY KEY,
	session_id INTEGER NOT NULL,
	agent_id   INTEGER NOT NULL,
	node       TEXT NOT NULL, -- the address that the host dials
	expires_at INTEGER NOT NULL
);
CREATE INDEX tunnels_agent ON tunnels (agent_id);

-- Who holds a seat of which delivery method; written when it changes hands only.
CREATE TABLE seats (
	delivery_method_id INTEGER NOT NULL,
	session_id         INTEGER NOT NULL,
	taken_at           INTEGER NOT NULL,
	PRIMARY KEY (delivery_method_id, session_id)
);

CREATE TABLE orders (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	session_id   INTEGER NOT NULL,
	action       TEXT NOT NULL,
	by_role      TEXT NOT NULL,
	by_name      TEXT NOT NULL,
	reason       TEXT NOT NULL,
	up_to        INTEGER NOT NULL,
	requested_at INTEGER NOT NULL,
	delivered_at INTEGER NOT NULL,
	warned_at    INTEGER NOT NULL,
	closed_at    INTEGER NOT NULL,
	closed_by    TEXT NOT NULL,
	already      INTEGER NOT NULL,
	eta          INTEGER NOT NULL
);
CREATE INDEX orders_session ON orders (session_id);
CREATE INDEX orders_due ON orders (eta) WHERE closed_at = 0;

CREATE TABLE transitions (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	session_id  INTEGER NOT NULL,
	from_status TEXT NOT NULL,
	to_status   TEXT NOT NULL,
	event       TEXT NOT NULL,
	at          INTEGER NOT NULL,
	role        TEXT NOT NULL,
	name        TEXT NOT NULL,
	reason      TEXT NOT NULL
);
CREATE INDEX transitions_session ON transitions (session_id, id);

-- What the users of open apps were told.
CREATE TABLE messages (
	session_id INTEGER NOT NULL,
	n          INTEGER NOT NULL,
	by_role    TEXT NOT NULL,
	by_name    TEXT NOT NULL,
	text       TEXT NOT NULL,
	at         INTEGER NOT NULL,
	shown_at   INTEGER NOT NULL,
	PRIMARY KEY (session_id, n)
);

CREATE TABLE denials (
	id                 INTEGER PRIMARY KEY AUTOINCREMENT,
	at                 INTEGER NOT NULL,
	session_id         INTEGER NOT NULL,
	run                INTEGER NOT NULL,
	user_id            INTEGER NOT NULL,
	app_id             INTEGER NOT NULL,
	delivery_method_id INTEGER NOT NULL,
	agent_id           INTEGER NOT NULL,
	code               TEXT NOT NULL,
	message            TEXT NOT NULL
);
CREATE UNIQUE INDEX denials_run ON denials (session_id, run, code);
CREATE INDEX denials_method ON denials (delivery_method_id, id);

-- Work that one node does at a time. A new term begins whenever another takes it over.
CREATE TABLE duties (
	name  TEXT PRIMARY KEY,
	node  TEXT NOT NULL,
	term  INTEGER NOT NULL,
	until INTEGER NOT NULL,
	mark  TEXT NOT NULL
);

CREATE TABLE batches (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	action      TEXT NOT NULL,
	reason      TEXT NOT NULL,
	filter      TEXT NOT NULL, -- JSON; empty for rows that were ticked
	by_role     TEXT NOT NULL,
	by_name     TEXT NOT NULL,
	source      TEXT NOT NULL,
	state       TEXT NOT NULL,
	reached     INTEGER NOT NULL, -- the last session that was dealt with
	total       INTEGER NOT NULL,
	applied     INTEGER NOT NULL,
	skipped     INTEGER NOT NULL,
	created_at  INTEGER NOT NULL,
	started_at  INTEGER NOT NULL,
	finished_at INTEGER NOT NULL
);
CREATE INDEX batches_state ON batches (state, id);

CREATE TABLE batch_items (
	batch_id   INTEGER NOT NULL,
	session_id INTEGER NOT NULL,
	outcome    TEXT NOT NULL,
	status     TEXT NOT NULL,
	reason     TEXT NOT NULL,
	PRIMARY KEY (batch_id, session_id)
);

-- Sessions whose entitlement is to be looked at again, because of a change.
CREATE TABLE checks (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	scope      TEXT NOT NULL,
	ref        INTEGER NOT NULL,
	reached    INTEGER NOT NULL,
	end_running INTEGER NOT NULL,
	reason     TEXT NOT NULL,
	by_role    TEXT NOT NULL,
	by_name    TEXT NOT NULL,
	source     TEXT NOT NULL,
	created_at INTEGER NOT NULL
);

CREATE TABLE audit (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	at      INTEGER NOT NULL,
	actor   TEXT NOT NULL,
	source  TEXT NOT NULL,
	action  TEXT NOT NULL,
	target  TEXT NOT NULL,
	name    TEXT NOT NULL,
	reason  TEXT NOT NULL,
	outcome TEXT NOT NULL
);
CREATE INDEX audit_action ON audit (action, id);

CREATE TABLE tokens (
	hash       BLOB PRIMARY KEY,
	user_id    INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
);

CREATE TABLE web_sessions (
	token      TEXT PRIMARY KEY,
	data       BLOB NOT NULL,
	expires_at INTEGER NOT NULL
);

CREATE TABLE signing_keys (
	id         TEXT PRIMARY KEY,
	pkcs8      BLOB NOT NULL,
	created_at INTEGER NOT NULL
);

CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- What things are found by, in lower case. names_text indexes its trigrams. The kind is
-- also the upper part of the id, so that those of a kind are a range of both.
CREATE TABLE names (
	id   INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	ref  INTEGER NOT NULL,
	text TEXT NOT NULL
);
CREATE VIRTUAL TABLE names_text USING fts5 (text, content = 'names', content_rowid = 'id', tokenize = 'trigram');
-- +goose StatementBegin
CREATE TRIGGER names_insert AFTER INSERT ON names BEGIN
	INSERT INTO names_text (rowid, text) VALUES (new.id, new.text);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER names_delete AFTER DELETE ON names BEGIN
	INSERT INTO names_text (names_text, rowid, text) VALUES ('delete', old.id, old.text);
END;
-- +goose StatementEnd
