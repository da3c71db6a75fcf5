"""Names of operations, which tracing shows as spans: explicit in the code, so that a rename changes none unseen."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ciris_store_core

SPANS = """
audit.append_many audit.chains audit.checkpoint audit.export audit.find audit.prune audit.record_denials audit.tail
audit.verify authorities.bootstrap authorities.find authorities.register authorities.revoke claimed_task.add_thought
claimed_task.update claimed_task.update_thought correlations.add correlations.add_many correlations.add_metrics
correlations.aggregate correlations.complete_interaction correlations.count correlations.delete_expired
correlations.delete_many correlations.find correlations.get correlations.get_many correlations.metric_names
correlations.percentiles correlations.points correlations.start_interaction correlations.update doctor.count_growth
doctor.examine doctor.unstick documents.count documents.create_index documents.delete documents.delete_matching
documents.drop_index documents.find documents.get documents.namespaces documents.put documents.read_identity
documents.touch graph.count graph.degrees graph.delete_edge_many graph.delete_many graph.find graph.find_edges graph.get
graph.get_edge_many graph.increment graph.neighbours graph.put graph.put_edge graph.put_edge_many graph.search
graph.shortest_path graph.subgraph graph.traverse importer.compare importer.find_edges leases.acquire leases.find
leases.release leases.renew maintenance.count_expired maintenance.delete_expired maintenance.find maintenance.find_dead
maintenance.recover_thoughts maintenance.release_tasks maintenance.sweep occurrence.recover_thoughts
occurrence.release_work occurrence.rescue occurrence.take_over occurrences.find occurrences.heartbeat
occurrences.register occurrences.remove retention.expire retention.find_metrics retention.roll_up secrets.access_log
secrets.check secrets.delete_many secrets.find secrets.find_encrypted secrets.find_expired secrets.get
secrets.log_access secrets.resolve secrets.rotate secrets.sweep secrets.verify shared_tasks.claim_and_transfer
shared_tasks.latest shared_tasks.try_claim streams.append streams.count streams.delete streams.find streams.fork
streams.get streams.info streams.pop streams.read streams.truncate tasks.add tasks.add_many tasks.add_unique
tasks.claim_next tasks.count tasks.count_by_status tasks.delete_many tasks.find tasks.get tasks.transfer tasks.update
thoughts.add thoughts.add_many thoughts.count thoughts.count_by_status thoughts.delete_many thoughts.escalate
thoughts.find thoughts.get thoughts.retry thoughts.transfer thoughts.update transfer.backup transfer.read_progress
transfer.write
"""


RUNNERS = {
    f"{executor}.{method}"
    for executor in ("self._x", "store._x", "self.store._x", "executor")
    for method in ("read", "write")
} | {"run", "write", "self._run", "self._in_transaction", "self._release", "add_or_same", "delete_with_secrets"}

#: A part of the store, a handle or a service, then a public verb.
NAME = re.compile(
    r"(?:audit|authorities|claimed_task|correlations|doctor|documents|graph|importer|leases|maintenance|occurrence|"
    r"occurrences|streams|"
    r"retention|secrets|shared_tasks|tasks|thoughts|transfer)\.[a-z][a-z_]*"
)


def test_spans_keep_their_names() -> None:
    assert sorted(set(named_operations())) == SPANS.split()


def test_spans_are_named_by_part_and_public_verb() -> None:
    assert [name for name in SPANS.split() if not NAME.fullmatch(name)] == []


def named_operations() -> Iterator[str]:
    for path in Path(ciris_store_core.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=function, args=[ast.Constant(value=str(name)), _, *_]):
                    if ast.unparse(function) in RUNNERS:
                        yield name
