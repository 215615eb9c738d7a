-- +goose Up

-- Sign-ins that were not right, by where they came from and the account that they tried, of
-- which only a digest is kept: people type passwords there. Without an account: what concerns
-- the source as a whole. Times are lease time.
CREATE TABLE sign_in_tries (
	source  TEXT NOT NULL,
	account TEXT NOT NULL,
	tries   INTEGER NOT NULL,
	last_at INTEGER NOT NULL,
	PRIMARY KEY (source, account)
);
CREATE INDEX sign_in_tries_last ON sign_in_tries (last_at);

-- Browsers that have signed in before, by the hash of the secret that they show.
CREATE TABLE browsers (
	hash       BLOB NOT NULL,
	user_id    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	PRIMARY KEY (hash, user_id)
);
CREATE INDEX browsers_user ON browsers (user_id);

-- Who is signed in with which browser. A row that is gone is a sign-in that has ended: nothing
-- revives one. Browser sessions from before have none, so everybody signs in once more.
CREATE TABLE sign_ins (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id    INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	seen_at    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	address    TEXT NOT NULL,
	browser    TEXT NOT NULL
);
CREATE INDEX sign_ins_user ON sign_ins (user_id);

-- API tokens get names, numbers and scopes. Those from before came from signing in.
CREATE TABLE api_tokens (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	hash       BLOB NOT NULL UNIQUE,
	user_id    INTEGER NOT NULL,
	name       TEXT NOT NULL, -- '' for one that signing in has made
	scopes     TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	used_at    INTEGER NOT NULL
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);
INSERT INTO api_tokens (hash, user_id, name, scopes, created_at, expires_at, used_at) SELECT hash, user_id, '', 'read write', created_at, expires_at, 0 FROM tokens;
DROP TABLE tokens;

-- Set where an administrator has given a user a password, which is theirs to change first.
ALTER TABLE users ADD COLUMN must_change_password INTEGER NOT NULL DEFAULT 0;
