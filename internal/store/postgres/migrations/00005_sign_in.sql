-- +goose Up

-- Sign-ins that were not right, by where they came from and the account that they tried, of
-- which only a digest is kept: people type passwords there. Without an account: what concerns
-- the source as a whole. Times are lease time.
CREATE TABLE sign_in_tries (
	source  TEXT NOT NULL,
	account TEXT NOT NULL,
	tries   BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	PRIMARY KEY (source, account)
);
CREATE INDEX sign_in_tries_last ON sign_in_tries (last_at);

-- Browsers that have signed in before, by the hash of the secret that they show.
CREATE TABLE browsers (
	hash       BYTEA NOT NULL,
	user_id    BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (hash, user_id)
);
CREATE INDEX browsers_user ON browsers (user_id);
