-- oldest-program: 8
-- The words of a node as the store splits and folds them, and an index of them. The index holds no copy, so graph_words
-- says what to take out of it. Every write of the index costs as much as a hundred words in it: nodes whose words
-- changed wait in graph_words_pending, with what the index holds of them, until some are taken over together. A search
-- reads those that wait one by one.

DROP VIEW graph_node_words;

DROP TABLE graph_search;

CREATE TABLE graph_words (
    node_number INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    words TEXT NOT NULL
) STRICT;

CREATE TABLE graph_words_pending (
    node_number INTEGER PRIMARY KEY,
    indexed TEXT
) STRICT;

-- Words are separated by spaces; this tokenizer leaves everything beyond ASCII as it is.
CREATE VIRTUAL TABLE graph_word_index USING fts5 (
    words, content = '', detail = none, columnsize = 0, tokenize = "ascii tokenchars '$'"
);

CREATE TRIGGER graph_words_added AFTER INSERT ON graph_words BEGIN
    INSERT INTO graph_words_pending (node_number) VALUES (new.node_number) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER graph_words_changed AFTER UPDATE OF words ON graph_words WHEN old.words IS NOT new.words BEGIN
    INSERT INTO graph_words_pending (node_number, indexed) VALUES (old.node_number, old.words) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER graph_words_deleted AFTER DELETE ON graph_words BEGIN
    INSERT INTO graph_words_pending (node_number, indexed) VALUES (old.node_number, old.words) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER graph_node_words_deleted AFTER DELETE ON {graph_nodes} BEGIN
    DELETE FROM graph_words WHERE node_number = old.node_number;
END;
