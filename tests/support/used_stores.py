"""Statements that make a PostgreSQL store that a test has used ready for the next one."""

END_OTHERS = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

# The tables and all else that a test may change beside records, as one text.
SCHEMA = """
WITH spaces AS (SELECT * FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
    tables AS (SELECT c.* FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace)
SELECT md5(string_agg(part, E'\n' ORDER BY part)) FROM (
    SELECT concat_ws(' ', 'schema', nspname, nspacl::text) AS part FROM spaces
    UNION ALL SELECT concat_ws(' ', relname, relkind, relacl::text, relowner, relrowsecurity, reloptions::text)
        FROM tables
    UNION ALL SELECT concat_ws(' ', a.attrelid::regclass, a.attname, a.atttypid, a.attnotnull, a.attacl::text, d.adbin)
        FROM pg_attribute a JOIN tables t ON t.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    UNION ALL SELECT pg_get_indexdef(oid) FROM tables WHERE relkind = 'i'
    UNION ALL SELECT concat_ws(' ', conname, pg_get_constraintdef(c.oid))
        FROM pg_constraint c JOIN spaces s ON s.oid = c.connamespace
    UNION ALL SELECT concat_ws(' ', proname, prosrc, proacl::text)
        FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
    UNION ALL SELECT concat_ws(' ', pg_get_triggerdef(g.oid), tgenabled)
        FROM pg_trigger g JOIN tables t ON t.oid = tgrelid
    UNION ALL SELECT concat_ws(' ', polname, pg_get_expr(polqual, polrelid)) FROM pg_policy
    UNION ALL SELECT extname FROM pg_extension
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT concat_ws(' ', version, name, oldest_program) FROM schema_migrations
) parts
"""

EMPTY = """
DO $$ DECLARE used text; BEGIN
    SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') INTO used FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
        AND pg_relation_size(format('%I.%I', schemaname, tablename)::regclass) > 0;
    IF used IS NOT NULL THEN EXECUTE 'TRUNCATE ' || used || ' RESTART IDENTITY'; END IF;
END $$
"""
