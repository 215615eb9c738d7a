-- +goose Up

-- Signing keys take turns. The public half stays when the private one is erased; the
-- endorsement is the key before's signature over this one; lease_at is the lease time at
-- which the key was made, so that no wall clock decides how long it is known.
ALTER TABLE signing_keys ADD COLUMN public BYTEA NOT NULL DEFAULT '';
ALTER TABLE signing_keys ADD COLUMN endorsement TEXT NOT NULL DEFAULT '';
ALTER TABLE signing_keys ADD COLUMN lease_at BIGINT NOT NULL DEFAULT 0;
UPDATE signing_keys SET lease_at = coalesce((SELECT mark FROM lease_clock), 0);
