-- oldest-program: 10
-- Writes of an edge are counted, so that one can be refused that expects another revision. An older program counts none.

ALTER TABLE {graph_edges} ADD COLUMN revision bigint NOT NULL DEFAULT 1;
