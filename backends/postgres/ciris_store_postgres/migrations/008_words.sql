-- oldest-program: 8
-- The words of a node as the store splits and folds them. The database's own parser sees no text.

DROP INDEX {schema}.graph_nodes_by_words;

DROP FUNCTION {graph_words}(text, jsonb);

DROP FUNCTION {separated_words}(text);

ALTER TABLE {graph_nodes} ADD COLUMN words tsvector;
