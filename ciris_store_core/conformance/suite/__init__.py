"""Tests of the contract. A test module that imports everything from here runs them all."""

import sys

import pytest

_MODULES = (
    "records", "graph_nodes", "graph_get_delete", "graph_listing", "graph_edges", "traversal", "search", "correlations",
    "locks",
    "aggregation", "percentiles", "tasks", "task_listing", "claims", "thoughts", "thought_listing", "coordination",
    "secrets", "audit", "transactions", "backends",
    "operations", "processes", "crashes", "words", "updates", "columns", "changes", "deletes",
    "interleavings", "interleaved_records", "deadlocks",
    "documents", "document_changes", "document_listing", "document_filters", "streams", "stream_changes",
    "payload_interleavings", "payload_races", "payload_transactions",
    "payload_processes",
    "injected", "lifecycle", "costs", "files",
)  # fmt: skip

# Registered before the import, so that failing assertions show values. Modules imported already cannot be rewritten.
_NAMES = (*(f"{__name__}.{name}" for name in _MODULES), "ciris_store_core.conformance.support")
pytest.register_assert_rewrite(*(name for name in _NAMES if name not in sys.modules))

from ciris_store_core.conformance.suite.aggregation import TestAggregate, TestMetricNames, TestPoints  # noqa: E402
from ciris_store_core.conformance.suite.audit import TestAudit  # noqa: E402
from ciris_store_core.conformance.suite.backends import TestBackend, TestPrepare  # noqa: E402
from ciris_store_core.conformance.suite.changes import TestEqualValues, TestReplacedValues  # noqa: E402
from ciris_store_core.conformance.suite.claims import TestClaim, TestRelease, TestTransfer  # noqa: E402
from ciris_store_core.conformance.suite.columns import TestColumns, TestFilteredColumns, TestOwners  # noqa: E402
from ciris_store_core.conformance.suite.coordination import TestLeases, TestOccurrences  # noqa: E402
from ciris_store_core.conformance.suite.correlations import TestFindCorrelations, TestWriteCorrelations  # noqa: E402
from ciris_store_core.conformance.suite.costs import TestCosts  # noqa: E402
from ciris_store_core.conformance.suite.crashes import TestCrashes  # noqa: E402
from ciris_store_core.conformance.suite.deadlocks import TestDeadlocks  # noqa: E402
from ciris_store_core.conformance.suite.deletes import TestDeletes  # noqa: E402
from ciris_store_core.conformance.suite.document_changes import (  # noqa: E402
    TestDeleteDocuments,
    TestDocumentStore,
    TestEncryptedDocuments,
    TestIndexes,
)
from ciris_store_core.conformance.suite.document_filters import TestFilters  # noqa: E402
from ciris_store_core.conformance.suite.document_listing import TestFindDocuments, TestNamespaces  # noqa: E402
from ciris_store_core.conformance.suite.documents import TestDocumentValues, TestGetDocuments, TestPutDocuments  # noqa: E402
from ciris_store_core.conformance.suite.files import TestFiles, TestResources  # noqa: E402
from ciris_store_core.conformance.suite.graph_edges import TestEdges, TestNeighbours  # noqa: E402
from ciris_store_core.conformance.suite.graph_get_delete import TestGetAndDeleteNodes  # noqa: E402
from ciris_store_core.conformance.suite.graph_listing import TestListNodes  # noqa: E402
from ciris_store_core.conformance.suite.graph_nodes import TestPutNodes  # noqa: E402
from ciris_store_core.conformance.suite.injected import TestDriverErrors, TestSchemaErrors  # noqa: E402
from ciris_store_core.conformance.suite.interleaved_records import TestGraphInterleavings, TestTelemetryInterleavings  # noqa: E402
from ciris_store_core.conformance.suite.interleavings import (  # noqa: E402
    TestAuditInterleavings,
    TestCoordinationInterleavings,
    TestSecretInterleavings,
    TestTaskInterleavings,
    TestThoughtInterleavings,
)
from ciris_store_core.conformance.suite.lifecycle import TestBlocks, TestOpenStore, TestVisibility  # noqa: E402
from ciris_store_core.conformance.suite.locks import TestLocks  # noqa: E402
from ciris_store_core.conformance.suite.operations import TestOperations  # noqa: E402
from ciris_store_core.conformance.suite.payload_interleavings import TestDocumentInterleavings, TestStreamInterleavings  # noqa: E402
from ciris_store_core.conformance.suite.payload_processes import TestPayloadCrashes, TestPayloadProcesses  # noqa: E402
from ciris_store_core.conformance.suite.payload_races import TestPayloadRaces  # noqa: E402
from ciris_store_core.conformance.suite.payload_transactions import TestPayloadTransactions  # noqa: E402
from ciris_store_core.conformance.suite.percentiles import TestPercentiles  # noqa: E402
from ciris_store_core.conformance.suite.processes import TestProcesses, TestTakeOver  # noqa: E402
from ciris_store_core.conformance.suite.records import TestRecords  # noqa: E402
from ciris_store_core.conformance.suite.search import TestSearch  # noqa: E402
from ciris_store_core.conformance.suite.secrets import TestAccessLog, TestSecrets  # noqa: E402
from ciris_store_core.conformance.suite.stream_changes import (  # noqa: E402
    TestEncryptedEntries,
    TestFindStreams,
    TestFork,
    TestRemoveEntries,
    TestRestoreStreams,
)
from ciris_store_core.conformance.suite.streams import TestAppend, TestEntries, TestReadStreams  # noqa: E402
from ciris_store_core.conformance.suite.task_listing import TestFindTasks  # noqa: E402
from ciris_store_core.conformance.suite.tasks import TestAddTasks, TestDeleteTasks, TestUpdateTasks  # noqa: E402
from ciris_store_core.conformance.suite.thought_listing import TestFindThoughts  # noqa: E402
from ciris_store_core.conformance.suite.thoughts import TestTransferThoughts, TestWriteThoughts  # noqa: E402
from ciris_store_core.conformance.suite.transactions import TestIsolation, TestSavepoints, TestTransactions  # noqa: E402
from ciris_store_core.conformance.suite.traversal import TestDegrees, TestShortestPath, TestTraverse  # noqa: E402
from ciris_store_core.conformance.suite.updates import TestIncrement, TestReadsForUpdate  # noqa: E402
from ciris_store_core.conformance.suite.words import TestWords  # noqa: E402

__all__ = [
    "TestAccessLog",
    "TestAddTasks",
    "TestAggregate",
    "TestAppend",
    "TestAudit",
    "TestAuditInterleavings",
    "TestBackend",
    "TestBlocks",
    "TestClaim",
    "TestColumns",
    "TestCoordinationInterleavings",
    "TestCosts",
    "TestCrashes",
    "TestDeadlocks",
    "TestDegrees",
    "TestDeleteDocuments",
    "TestDeleteTasks",
    "TestDeletes",
    "TestDocumentInterleavings",
    "TestDocumentStore",
    "TestDocumentValues",
    "TestDriverErrors",
    "TestEdges",
    "TestEncryptedDocuments",
    "TestEncryptedEntries",
    "TestEntries",
    "TestEqualValues",
    "TestFiles",
    "TestFilteredColumns",
    "TestFilters",
    "TestFindCorrelations",
    "TestFindDocuments",
    "TestFindStreams",
    "TestFindTasks",
    "TestFindThoughts",
    "TestFork",
    "TestGetAndDeleteNodes",
    "TestGetDocuments",
    "TestGraphInterleavings",
    "TestIncrement",
    "TestIndexes",
    "TestIsolation",
    "TestLeases",
    "TestListNodes",
    "TestLocks",
    "TestMetricNames",
    "TestNamespaces",
    "TestNeighbours",
    "TestOccurrences",
    "TestOpenStore",
    "TestOperations",
    "TestOwners",
    "TestPayloadCrashes",
    "TestPayloadProcesses",
    "TestPayloadRaces",
    "TestPayloadTransactions",
    "TestPercentiles",
    "TestPoints",
    "TestPrepare",
    "TestProcesses",
    "TestPutDocuments",
    "TestPutNodes",
    "TestReadStreams",
    "TestReadsForUpdate",
    "TestRecords",
    "TestRelease",
    "TestRemoveEntries",
    "TestReplacedValues",
    "TestResources",
    "TestRestoreStreams",
    "TestSavepoints",
    "TestSchemaErrors",
    "TestSearch",
    "TestSecretInterleavings",
    "TestSecrets",
    "TestShortestPath",
    "TestStreamInterleavings",
    "TestTakeOver",
    "TestTaskInterleavings",
    "TestTelemetryInterleavings",
    "TestThoughtInterleavings",
    "TestTransactions",
    "TestTransfer",
    "TestTransferThoughts",
    "TestTraverse",
    "TestUpdateTasks",
    "TestVisibility",
    "TestWords",
    "TestWriteCorrelations",
    "TestWriteThoughts",
]
