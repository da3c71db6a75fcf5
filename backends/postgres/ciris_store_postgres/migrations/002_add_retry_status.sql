-- oldest-program: 2

ALTER TABLE {thoughts} ADD COLUMN retry_count bigint NOT NULL DEFAULT 0;
