-- +goose Up

-- The lease clock: a counter of microseconds that no wall clock enters (docs/adr/0004). It
-- goes on from where the clock of schema 1 was, so that the times of leases and orders that
-- are out keep their meaning. Nothing but its ticks ever writes or locks this row.
CREATE TABLE lease_clock (
	id    BIGINT PRIMARY KEY CHECK (id = 1),
	mark  BIGINT NOT NULL,
	nonce BIGINT NOT NULL
);
INSERT INTO lease_clock (id, mark, nonce) SELECT 1, greatest(hwm, 1000000), (random() * 4611686018427387904)::bigint + 1 FROM clock;

-- Without this column a node of the version before reads no clock: it grants nothing and
-- can be drained. Two kinds of lease clock side by side would not be safe.
ALTER TABLE clock DROP COLUMN hwm;

-- When a host that is starting a stream must have brought it up, in lease time.
ALTER TABLE sessions ADD COLUMN start_by BIGINT NOT NULL DEFAULT 0;
UPDATE sessions SET start_by = started_at + 120000000 WHERE status = 'starting';

-- When an agent was last heard from, in lease time; at stays what people read.
ALTER TABLE agent_seen ADD COLUMN lease_at BIGINT NOT NULL DEFAULT 0;
UPDATE agent_seen SET lease_at = at;

-- An order's ETA as it was told when the order was given; eta is lease time.
ALTER TABLE orders ADD COLUMN promised_at BIGINT NOT NULL DEFAULT 0;
UPDATE orders SET promised_at = eta;

-- When the device says that it closes the app; 0 while it has not answered.
ALTER TABLE orders ADD COLUMN closes_at BIGINT NOT NULL DEFAULT 0;

-- The hold after a restore, in lease time: of 0 when the restore was noticed, of a delivery
-- method until when leases may be out that its agents have reported since.
CREATE TABLE restore_holds (
	delivery_method_id BIGINT PRIMARY KEY,
	until              BIGINT NOT NULL
);
INSERT INTO restore_holds (delivery_method_id, until) SELECT 0, (ceil(extract(epoch FROM value::timestamptz)) * 1000000)::bigint FROM settings WHERE name = 'restored_at';
DELETE FROM settings WHERE name = 'restored_at';
