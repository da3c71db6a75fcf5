-- oldest-program: 8
-- Recorded when every node that was stored before has its words.

INSERT INTO graph_word_index (graph_word_index) VALUES ('optimize');
