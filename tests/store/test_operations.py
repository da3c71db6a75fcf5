"""Names of operations, which tracing shows as spans: explicit in the code, so that no rename changes one unseen."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ciris_store_core

SPANS = """
_copier.write _doctor._growth _doctor.findings _edges _heads _native _reducer._batch _reducer.expire _reducer.metrics
add_or_same audittrail._anchor_of audittrail.append_many audittrail.chains audittrail.find audittrail.prune
audittrail.tail authorities.bootstrap authorities.find authorities.register authorities.revoke
claimedtask.add_thought claimedtask.update claimedtask.update_thought correlations._adding correlations._page
correlations._stored_as_given correlations.add correlations.add_many correlations.add_metrics correlations.count
correlations.get correlations.get_many correlations.update databasemaintenanceservice._count_expired
databasemaintenanceservice._delete_expired delete_with_secrets graph._node_page graph._nodes graph._put
graph._upgrade_first graph.count graph.increment graphedges.find_edges graphedges.get_edge_many graphedges.put_edge
graphedges.put_edge_many interactions.complete_interaction interactions.start_interaction leases.acquire leases.find
leases.release leases.renew occurrencehandle._recover occurrencehandle._release occurrencehandle.recover_thoughts
occurrencehandle.take_over occurrences.find occurrences.heartbeat occurrences.register occurrences.remove put_upcast
read_progress secretcrypto.verify secrets._known secrets._logged secrets._of_living secrets._without_expired
secrets.access_log secrets.check secrets.delete_many secrets.find secrets.rotate secrets.sweep series.aggregate
series.metric_names series.percentiles series.points sharedtasks._page sharedtasks.claim_and_transfer
sharedtasks.try_claim storeexecutor._record_denials stuck_thoughts sweeper._batches sweeper._dead sweeper._recover
sweeper._release sweeper._settle target.difference tasks._page tasks._stored tasks.add tasks.add_many
tasks.add_unique tasks.claim_next tasks.count tasks.count_by_status tasks.delete_many tasks.transfer tasks.update
thoughts._page thoughts._stored thoughts.add thoughts.add_many thoughts.count thoughts.count_by_status
thoughts.delete_many thoughts.escalate thoughts.retry thoughts.transfer thoughts.update verifier._anchor
verifier._chains verifier._events verifier._look_at_identity verifier._look_for_unchained verifier._look_for_unlisted
verifier._page verifier.run walks.degrees walks.neighbours walks.search walks.shortest_path walks.subgraph
walks.traverse
"""


RUNNERS = {
    f"{executor}.{method}"
    for executor in ("self._x", "store._x", "self.store._x", "executor")
    for method in ("read", "write")
} | {"run", "write", "self._run", "self._in_transaction"}


def test_spans_keep_their_names() -> None:
    assert sorted(set(named_operations())) == SPANS.split()


def named_operations() -> Iterator[str]:
    for path in Path(ciris_store_core.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=function, args=[ast.Constant(value=str(name)), _, *_]):
                    if ast.unparse(function) in RUNNERS:
                        yield name
