-- oldest-program: 2

ALTER TABLE {thoughts} ADD COLUMN retry_count INTEGER NOT NULL DEFAULT 0;
