-- oldest-program: 2
-- Writes of an edge are counted, so that one can be refused that expects another revision. An older program counts none.

ALTER TABLE {graph_edges} ADD COLUMN revision BIGINT DEFAULT 1;
