"""The tests of the contract. A module of tests that imports everything from here runs them all."""

import sys

import pytest

_MODULES = (
    "records", "graph_nodes", "graph_listing", "graph_edges", "traversal", "search", "correlations", "locks",
    "aggregation", "tasks", "claims", "thoughts", "coordination", "secrets", "audit", "transactions", "backends",
    "operations", "processes", "crashes", "words", "updates",
)  # fmt: skip

# Before they are imported, so that a failing assertion shows its values; what is imported already stays as it is.
_NAMES = (*(f"{__name__}.{name}" for name in _MODULES), "ciris_store_core.conformance.support")
pytest.register_assert_rewrite(*(name for name in _NAMES if name not in sys.modules))

from .aggregation import TestAggregate, TestMetricNames, TestPercentiles, TestPoints  # noqa: E402
from .audit import TestAudit  # noqa: E402
from .backends import TestBackend, TestPrepare  # noqa: E402
from .claims import TestClaim, TestGiveBack, TestTransfer  # noqa: E402
from .coordination import TestLeases, TestOccurrences  # noqa: E402
from .correlations import TestFindCorrelations, TestWriteCorrelations  # noqa: E402
from .crashes import TestCrashes  # noqa: E402
from .graph_edges import TestEdges, TestNeighbours  # noqa: E402
from .graph_listing import TestListNodes  # noqa: E402
from .graph_nodes import TestGetAndDeleteNodes, TestPutNodes  # noqa: E402
from .locks import TestLocks  # noqa: E402
from .operations import TestOperations  # noqa: E402
from .processes import TestProcesses, TestTakeOver  # noqa: E402
from .records import TestRecords  # noqa: E402
from .search import TestSearch  # noqa: E402
from .secrets import TestAccessLog, TestSecrets  # noqa: E402
from .tasks import TestAddTasks, TestDeleteTasks, TestFindTasks, TestUpdateTasks  # noqa: E402
from .thoughts import TestFindThoughts, TestTransferThoughts, TestWriteThoughts  # noqa: E402
from .transactions import TestIsolation, TestSavepoints, TestTransactions  # noqa: E402
from .traversal import TestDegrees, TestShortestPath, TestTraverse  # noqa: E402
from .updates import TestIncrement, TestReadsForUpdate  # noqa: E402
from .words import TestWords  # noqa: E402

__all__ = [
    "TestAccessLog",
    "TestAddTasks",
    "TestAggregate",
    "TestAudit",
    "TestBackend",
    "TestClaim",
    "TestCrashes",
    "TestDegrees",
    "TestDeleteTasks",
    "TestEdges",
    "TestFindCorrelations",
    "TestFindTasks",
    "TestFindThoughts",
    "TestGetAndDeleteNodes",
    "TestGiveBack",
    "TestIncrement",
    "TestIsolation",
    "TestLeases",
    "TestListNodes",
    "TestLocks",
    "TestMetricNames",
    "TestNeighbours",
    "TestOccurrences",
    "TestOperations",
    "TestPercentiles",
    "TestPoints",
    "TestPrepare",
    "TestProcesses",
    "TestPutNodes",
    "TestReadsForUpdate",
    "TestRecords",
    "TestSavepoints",
    "TestSearch",
    "TestSecrets",
    "TestShortestPath",
    "TestTakeOver",
    "TestTransactions",
    "TestTransfer",
    "TestTransferThoughts",
    "TestTraverse",
    "TestUpdateTasks",
    "TestWords",
    "TestWriteCorrelations",
    "TestWriteThoughts",
]
