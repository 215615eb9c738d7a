-- +goose Up

-- What a stream host does not offer to its sessions, as it says itself; a line each.
ALTER TABLE agents ADD COLUMN missing TEXT NOT NULL DEFAULT '';
