-- oldest-program: 6
-- The words of a node: its id, the keys and the texts of its attributes at every level.

-- Anything but letters and digits becomes a space: ASCII, and the blocks of Unicode that hold no letters. Written as
-- code points, since what a class such as [:alnum:] holds depends on the database's locale.
CREATE FUNCTION {separated_words}(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT regexp_replace(value COLLATE "C", E'[\\u0001-/:-@\\[-`\\u007b-\\u00a9\\u00ab-\\u00b4\\u00b6-\\u00b9\\u00bb-\\u00bf'
        '\\u00d7\\u00f7\\u2000-\\u206f\\u20a0-\\u20cf\\u2190-\\u2bff\\u2e00-\\u2e7f\\u3000-\\u3004\\u3008-\\u3020\\u3030'
        '\\ufe10-\\ufe1f\\ufe30-\\ufe6f\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65'
        '\\U0001f000-\\U0001faff]+', ' ', 'g')
$$;

-- Of the JSON text, escapes are separators all of them, and what is left between quotes are keys and texts. A tsvector
-- holds one MiB: 250,000 characters always fit.
CREATE FUNCTION {graph_words}(id text, attributes jsonb) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_tsvector('pg_catalog.simple'::regconfig, left({separated_words}(id || ' ' || regexp_replace(
        regexp_replace(left(attributes::text, 500000), E'\\\\(u[0-9a-f][0-9a-f][0-9a-f][0-9a-f]|.)', ' ', 'g'),
        '[^"]*("[^"]*"|$)', E'\\1', 'g')), 250000))
$$;

CREATE INDEX graph_nodes_by_words ON {graph_nodes} USING gin ({graph_words}(id, attributes));
