"""Search by words, an optional capability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.factories import LOCAL, at, node, put, store_nodes
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.support import reading
from ciris_store_core.contract import Backend
from ciris_store_core.errors import NotSupported
from ciris_store_core.models import GraphScope
from ciris_store_core.models.graph import SearchQuery
from ciris_store_core.words import search_terms

FULL_TEXT = Capability.FULL_TEXT


def ids(backend: Backend, *texts: str, **fields: Any) -> list[str]:
    """The ids of the hits for all words of the texts."""
    with reading(backend) as session:
        hits = session.graph.search(SearchQuery(search_terms(" ".join(texts)), **fields))
        return [hit.node.id for hit in hits]


def tell(backend: Backend, texts: Mapping[str, Any]) -> None:
    """Store a node for each id, with what it says."""
    store_nodes(backend, *(node(id, attributes={"t": text}) for id, text in texts.items()))


class TestSearch:
    """``GraphStore.search``."""

    @clause("graph.search.declared")
    def test_declared_or_refused(self, backend: Backend) -> None:
        """Otherwise an agent believes that it knows nothing, where the database just cannot search."""
        store_nodes(backend, node(attributes={"text": "cat"}))
        if FULL_TEXT in backend.capabilities:
            assert ids(backend, "cat") == ["n"]
        else:
            with pytest.raises(NotSupported):
                ids(backend, "cat")

    @clause("graph.search.all_words", needs=FULL_TEXT)
    def test_all_words_in_id_or_attributes(self, backend: Backend) -> None:
        """Otherwise a search finds what was not meant, or misses what was."""
        store_nodes(backend, node("red", attributes={"a": "black cat", "b": {"c": ["tree"]}}))
        store_nodes(backend, node("x", attributes={"a": "cat"}), node("y", attributes={"a": "category tree"}))
        assert ids(backend, "red", "cat", "tree") == ["red"]
        assert sorted(ids(backend, "cat")) == ["red", "x"]
        assert ids(backend, "tree", "dog") == []

    @clause("graph.search.case", needs=FULL_TEXT)
    def test_case_and_separators(self, backend: Backend) -> None:
        """Otherwise a word is missed for its capital letter or the punctuation beside it."""
        store_nodes(backend, node("user_7", attributes={"a": "The CAT's e-mail: cat@example.org, 42!"}))
        for words in (["cat"], ["Cat"], ["the"], ["mail"], ["example", "org"], ["42"], ["7"], ["user"], ["e-mail"]):
            assert ids(backend, *words) == ["user_7"], words

    @clause("graph.search.filters", needs=FULL_TEXT)
    def test_scope_type_and_expiry(self, backend: Backend) -> None:
        """Otherwise a search returns private or expired memories."""
        text = {"t": "cat"}
        store_nodes(backend, node("a", attributes=text), node("b", attributes=text, type="user"))
        store_nodes(backend, node("c", attributes=text, scope=GraphScope.NETWORK))
        store_nodes(backend, node("d", attributes=text, expires_at=at(1)))
        assert sorted(ids(backend, "cat", scope=LOCAL, now=at(1))) == ["a", "b"]
        assert ids(backend, "cat", type="user") == ["b"]
        assert sorted(ids(backend, "cat")) == ["a", "b", "c", "d"]

    @clause("graph.search.rank", needs=FULL_TEXT)
    def test_best_first_ties_by_id(self, backend: Backend) -> None:
        """Otherwise the best match is not at the top, or changes from search to search."""
        store_nodes(backend, *(node(id, attributes={"t": "cat"}) for id in "cab"))
        with reading(backend) as session:
            hits = session.graph.search(SearchQuery(("cat",)))
        assert [hit.node.id for hit in sorted(hits, key=lambda hit: (-hit.rank, hit.node.id))] == ["a", "b", "c"]
        assert [hit.node.id for hit in hits] == ["a", "b", "c"]
        store_nodes(backend, node("b", scope=GraphScope.NETWORK, attributes={"t": "cat"}))
        with reading(backend) as session:
            hits = session.graph.search(SearchQuery(("cat",)))
        assert [(hit.node.id, hit.node.scope.value) for hit in hits] == [
            ("a", "local"), ("b", "local"), ("b", "network"), ("c", "local"),
        ]  # fmt: skip

    @clause("graph.search.rank.order", needs=FULL_TEXT)
    def test_fewest_other_words_first(self, backend: Backend) -> None:
        """Otherwise the same search lists the same memories in another order on another database."""
        tell(backend, {"a": "cat and dog and mouse", "b": "cat, dog", "c": "cat cat cat dog elephant", "d": "cat"})
        assert ids(backend, "cat") == ["d", "b", "c", "a"]
        assert ids(backend, "cat", "dog") == ["b", "c", "a"]
        with reading(backend) as session:
            ranks = [hit.rank for hit in session.graph.search(SearchQuery(("cat",)))]
        assert ranks == [1 / 3, 1 / 4, 1 / 5, 1 / 6]  # the id and the key of the attribute are words, too
        # The best are taken before the limit, wherever they stand in the order of ids and of writes.
        assert ids(backend, "cat", limit=1) == ["d"]
        assert ids(backend, "cat", limit=2) == ["d", "b"]
        tell(backend, {"a": "cat"})
        assert ids(backend, "cat", limit=2) == ["a", "d"]

    @clause("graph.search.whole_words", needs=FULL_TEXT)
    def test_neither_stems_nor_stop_words(self, backend: Backend) -> None:
        """Otherwise a search finds other words than it was asked for, or never those that are in every text."""
        tell(
            backend, {"a": "the cats are running", "b": "a cat did run", "c": "not to be or to be", "d": "Katze können"}
        )
        assert ids(backend, "cats") == ids(backend, "running") == ids(backend, "the") == ids(backend, "are") == ["a"]
        assert ids(backend, "cat") == ids(backend, "run") == ids(backend, "did") == ids(backend, "a cat") == ["b"]
        assert ids(backend, "not to be or") == ids(backend, "be") == ids(backend, "to") == ["c"]
        assert ids(backend, "Katzen") == ids(backend, "kann") == ids(backend, "was") == ids(backend, "runs") == []
        assert ids(backend, "konnen") == ["d"]

    @clause("graph.search.no_words", needs=FULL_TEXT)
    def test_a_search_without_words(self, backend: Backend) -> None:
        """Otherwise a question of punctuation alone returns the whole memory, or fails."""
        store_nodes(backend, node("a", attributes={"t": "cat"}), node("b"))
        with reading(backend) as session:
            assert session.graph.search(SearchQuery(())) == []
            assert session.graph.search(SearchQuery((), scope=LOCAL, type="concept", now=at(1))) == []
        assert ids(backend, "... ?!") == ids(backend, "") == []

    @clause("graph.search.limit", needs=FULL_TEXT)
    def test_limit_after_filters(self, backend: Backend) -> None:
        """Otherwise a short list comes back empty although there are matches."""
        store_nodes(backend, *(node(f"a{i}", attributes={"t": "cat"}, expires_at=at(1)) for i in range(5)))
        store_nodes(backend, node("z1", attributes={"t": "cat"}), node("z2", attributes={"t": "cat"}))
        assert ids(backend, "cat", limit=1, now=at(2)) == ["z1"]

    @clause("graph.search.fresh", needs=FULL_TEXT)
    def test_sees_what_was_written_and_not_what_was_deleted(self, backend: Backend) -> None:
        """Otherwise a search finds what was forgotten, or misses what was just learned."""
        store_nodes(backend, node("a", attributes={"t": "cat"}), node("b", attributes={"t": "cat"}))
        store_nodes(backend, node("a", attributes={"t": "dog"}))
        with backend.session(write=True) as session:
            session.graph.delete_nodes([node("b").key])
            assert session.graph.search(SearchQuery(("cat",))) == []
        assert ids(backend, "dog") == ["a"]

    @clause("graph.search.deleted", needs=FULL_TEXT)
    def test_words_of_deleted_nodes(self, backend: Backend) -> None:
        """Otherwise the words of a deleted node lead to whatever takes its id, or keep others from being found."""
        tell(backend, {"a": "cat one", "b": "cat two", "c": "cat three", "d": "cat four"})
        store_nodes(backend, node("c", attributes={"t": "cat three"}, expires_at=at(1)))
        assert ids(backend, "cat") == ["a", "b", "c", "d"]
        with backend.session(write=True) as session:
            session.graph.delete_nodes([node("a").key, node("b").key])
            session.graph.put_nodes([put(node("b", attributes={"t": "dog"}))], at(2))
            assert session.graph.delete_expired_nodes(at(2), 9) == 1
        tell(backend, {"a": "mouse"})
        assert ids(backend, "cat") == ["d"]
        assert ids(backend, "one") == ids(backend, "two") == ids(backend, "three") == []
        assert ids(backend, "dog") == ["b"] and ids(backend, "mouse") == ["a"]
        with pytest.raises(RuntimeError), backend.session(write=True) as session:
            session.graph.delete_nodes([node("d").key])
            session.graph.put_nodes([put(node("e", attributes={"t": "cat five"}))], at(2))
            raise RuntimeError
        assert ids(backend, "cat") == ["d"] and ids(backend, "five") == []
        with backend.session(write=True) as session:  # what expired comes back with other words
            session.graph.put_nodes([put(node("c", attributes={"u": "bird"}))], at(3))
        assert ids(backend, "bird") == ["c"] and ids(backend, "three") == []

    @pytest.mark.parametrize(
        "word", ["((((", "a & |", '"', "'", "cat*", "-cat", "NEAR(", "a:b", "\\", "%", "cat OR dog"]
    )
    @clause("graph.search.hostile", needs=FULL_TEXT)
    def test_words_are_no_query_language(self, backend: Backend, word: str) -> None:
        """Otherwise what a user types breaks a search, or changes its meaning."""
        store_nodes(backend, node("dog", attributes={"t": "dog"}))
        assert ids(backend, "dog") == ["dog"]
        assert "dog" not in ids(backend, "cat", word)
