-- +goose Up

-- The time zone in which the pages show times to a user; '' is that of the browser.
ALTER TABLE users ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';
