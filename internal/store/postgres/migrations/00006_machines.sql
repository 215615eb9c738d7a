-- +goose Up

-- Keys from before were good for any number of machines until they are over; that is kept as
-- a large number. A key with no use left, or revoked, stays for the record until it is over.
ALTER TABLE enrolment_keys ADD COLUMN uses_left BIGINT NOT NULL DEFAULT 1000000;
ALTER TABLE enrolment_keys ADD COLUMN revoked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE enrolment_keys ADD COLUMN pool TEXT NOT NULL DEFAULT '';
ALTER TABLE enrolment_keys ADD COLUMN networks TEXT NOT NULL DEFAULT '[]'; -- JSON
ALTER TABLE enrolment_keys ADD COLUMN approved BIGINT NOT NULL DEFAULT 1;

-- Whether an administrator lets launches go to a host; those from before are let.
ALTER TABLE agents ADD COLUMN approved BIGINT NOT NULL DEFAULT 1;

-- Starts of a delivery method's app that failed on a host in a row, and the last reason.
CREATE TABLE start_failures (
	agent_id           BIGINT NOT NULL,
	delivery_method_id BIGINT NOT NULL,
	failures           BIGINT NOT NULL,
	last_at            BIGINT NOT NULL, -- lease time
	at                 BIGINT NOT NULL,
	reason             TEXT NOT NULL,
	PRIMARY KEY (agent_id, delivery_method_id)
);
