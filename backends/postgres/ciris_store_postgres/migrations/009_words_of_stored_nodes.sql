-- oldest-program: 8
-- Recorded when every node that was stored before has its words. New words wait in a list that every search reads
-- through; it is kept short.

CREATE INDEX graph_nodes_by_words ON {graph_nodes} USING gin (words) WITH (gin_pending_list_limit = 256);
