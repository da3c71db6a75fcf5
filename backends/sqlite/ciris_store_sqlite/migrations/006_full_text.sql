-- oldest-program: 6
-- The words of a node: its id, the keys and the texts of its attributes at every level. The index keeps no copy of
-- them, so what is to be taken out is computed from the row once more. It is kept by statements, not by triggers, since
-- SQLite lets no trigger use such an index where the schema is not trusted.

CREATE VIRTUAL TABLE graph_search USING fts5 (id, words, content = '', tokenize = 'unicode61 remove_diacritics 0');

CREATE VIEW graph_node_words AS
SELECT n.node_number AS node_number, n.id AS id, n.scope AS scope,
    (SELECT group_concat(CASE WHEN j.type = 'text' THEN coalesce(j.key || ' ', '') || j.atom ELSE j.key END, ' ')
     FROM json_tree(n.attributes) j) AS words
FROM {graph_nodes} n;

INSERT INTO graph_search (rowid, id, words) SELECT node_number, id, words FROM graph_node_words;
