"""Words of texts in every script: equal on every backend with search."""

# ruff: noqa: RUF001 - letters that look alike are what it is about

from __future__ import annotations

from time import perf_counter
from unicodedata import normalize

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.factories import at, node, put, store_nodes
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.scripts_of_unicode import sentences
from ciris_store_core.conformance.suite.search import ids, tell
from ciris_store_core.contract import Backend
from ciris_store_core.words import MAX_TERMS

FULL_TEXT = Capability.FULL_TEXT


class TestWords:
    """``words.node_words`` and ``words.search_terms``, through a search."""

    @clause("graph.search.words.every_script", needs=FULL_TEXT)
    def test_a_text_is_found_by_its_own_words(self, backend: Backend) -> None:
        """Otherwise what was told in one's own language is never found again."""
        texts = sentences()
        tell(backend, {f"text {number}": text for number, text in enumerate(texts.values())})
        missed = {
            script: word
            for number, (script, text) in enumerate(texts.items())
            for word in (text, text.split()[-1])
            if f"text {number}" not in ids(backend, word, limit=1000)
        }
        assert missed == {}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("東京都庁は新宿にある", "東京 京都 都庁 新宿 庁 京 る にある"),
            ("ひらがなとカタカナとｶﾞｷﾞ", "ひらがな がな カタカナ タカ ガギ ガ"),
            ("한국어를 배웁니다", "한국어 국어 배웁니다 웁니 를"),
            ("ฉันซื้อหนังสือที่ตลาด", "หนังสือ ซื้อ ตลาด ที่"),
            ("ຂ້ອຍຮັກປະເທດລາວ", "ຮັກ ລາວ ປະເທດ"),
            ("ខ្ញុំស្រលាញ់ភាសាខ្មែរ", "ភាសា ខ្មែរ ខ្ញុំ"),
            ("ကျွန်တော်မြန်မာစကားပြောတယ်", "မြန်မာ စကား ပြော"),
        ],
    )
    @clause("graph.search.words.inside_a_run", needs=FULL_TEXT)
    def test_found_by_a_part_of_a_run(self, backend: Backend, text: str, words: str) -> None:
        """Otherwise a word is lost in a script that puts no spaces between words."""
        tell(backend, {"n": text, "other": "東 京 ก ข latin"})
        for word in words.split():
            assert "n" in ids(backend, word), word
        assert "n" not in ids(backend, "京東都") + ids(backend, "xyz")

    @pytest.mark.parametrize(
        ("text", "asked"),
        [
            ("Äpfel und Straße", "apfel STRASSE äpfel ÄPFEL strasse"),
            (normalize("NFD", "Ångström à la Crème brûlée"), "angstrom Ångström creme BRÛLÉE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος Σίσυφοσ σισυφος"),
            ("Ёлка ЙОГУРТ", "елка ёлка йогурт"),
            ("İstanbul ﬁnance ＦＵＬＬ", "istanbul finance full"),
            ("شَجَرَة כָּתַב", "شجرة شَجَرَة כתב כָּתַב"),
            ("می‌خواهم co\u00adoperate", "میخواهم می‌خواهم cooperate"),
            ("٤٢ ४३ ４４ ² ½", "42 43 44 ४२ 2 1"),
        ],
    )
    @clause("graph.search.words.folding", needs=FULL_TEXT)
    def test_case_accents_and_forms(self, backend: Backend, text: str, asked: str) -> None:
        """Otherwise a word is missed for an accent, or for how its letters are encoded."""
        tell(backend, {"n": text})
        for word in asked.split():
            assert ids(backend, word) == ["n"], word

    @clause("graph.search.words.vowels", needs=FULL_TEXT)
    def test_marks_that_are_vowels_count(self, backend: Backend) -> None:
        """Otherwise words that differ in their vowels are taken for one another."""
        tell(backend, {"din": "दिन", "dan": "दन", "ga": "カキ", "ka": "ガキ", "i": "மி", "a": "ம"})
        for asked, found in {"दिन": "din", "दन": "dan", "カキ": "ga", "ガキ": "ka", "மி": "i", "ம": "a"}.items():
            assert ids(backend, asked) == [found], asked

    @pytest.mark.parametrize(
        "sign", ["❤️", "❤", "👨‍👩‍👧", "👧", "👍🏽", "👍", "🇩🇪", "🫠", "🫩", "€", "$", "₿", "₹", "∑", "→", "™"]
    )
    @clause("graph.search.words.signs", needs=FULL_TEXT)
    def test_emoji_and_currency_signs(self, backend: Backend, sign: str) -> None:
        """Otherwise what was said in a sign is never found."""
        text = "love❤️ family👨‍👩‍👧 good 👍🏽 de🇩🇪 melting🫠 tired🫩 5€ $7 ₿1 ₹2 ∑x → Name™"
        tell(backend, {"n": text, "other": "love family good melting tired 5 7 1 2 x Name"})
        assert ids(backend, sign) == ["n"]
        assert sorted(ids(backend, "love name")) == ["n", "other"]

    @clause("graph.search.words.prefix", needs=FULL_TEXT)
    def test_prefixes(self, backend: Backend) -> None:
        """Otherwise who remembers the beginning of a word finds nothing, or more than was asked for."""
        tell(backend, {"a": "category tree", "b": "cat", "c": "concatenate", "d": "Élan 東京タワー", "e": "x*y"})
        assert sorted(ids(backend, "cat*")) == ["a", "b"]
        assert ids(backend, "CATE* tr*") == ["a"]
        assert ids(backend, "ela*") == ids(backend, "東京*") == ids(backend, "é* 東*") == ["d"]
        assert ids(backend, "cat", "catx*") == ids(backend, "*") == ids(backend, "* *at") == []
        assert sorted(ids(backend, "x*y")) == ["e"]

    @pytest.mark.parametrize("filler", ["word ", "słowo ", "字"])
    @clause("graph.search.words.long_texts", needs=FULL_TEXT)
    def test_long_texts_are_found_by_their_last_word(self, backend: Backend, filler: str) -> None:
        """Otherwise the end of a long text is as good as not stored."""
        tell(backend, {"n": filler * (1_200_000 // len(filler)) + " needle " + "x" * 5000 + "y"})
        assert ids(backend, "needle") == ids(backend, "x" * 5000 + "y") == ids(backend, "xx*") == ["n"]

    @clause("graph.search.words.most", needs=FULL_TEXT)
    def test_words_of_a_node_up_to_a_million_bytes(self, backend: Backend) -> None:
        """Otherwise a text of many words is refused by one database, and found by other words in each."""
        many = " ".join(f"{number:07d}" for number in range(200_000))
        store_nodes(backend, node("n", attributes={"b": many, "a": "first " + many[:400_000]}))
        assert ids(backend, "first") == ids(backend, "0000000") == ids(backend, "0124000") == ["n"]
        assert ids(backend, "0126000") == ids(backend, "0199999") == []
        store_nodes(backend, node("n", attributes={"c": "later", "b": "short"}))
        assert ids(backend, "short") == ["n"] and ids(backend, "0124000") == []

    @clause("graph.search.words.changes", needs=FULL_TEXT)
    def test_words_follow_every_write(self, backend: Backend) -> None:
        """Otherwise a merge leaves words behind that the node no longer has, or loses those that it kept."""
        tell(backend, {"n": "old shared", "gone": "old"})
        merges = [
            {"n": 1},
            {"n": 2},
            {"u": "shared more"},
            {"t": "new"},
            {"n": "text"},
            {"n": {"deep": ["list"]}},
            {"n": 3},
        ]
        for attributes in merges:
            with backend.session(write=True) as session:
                session.graph.put_nodes([put(node("n", attributes=attributes))], at(0))
        for word, found in {"old": ["gone"], "shared": ["n"], "more": ["n"], "new": ["n"], "t": ["n", "gone"]}.items():
            assert sorted(ids(backend, word)) == sorted(found), word
        assert ids(backend, "text") == ids(backend, "deep") == ids(backend, "list") == []
        with backend.session(write=True) as session:
            session.graph.put_nodes([put(node("n", attributes={"n": 4}), remove=("u",))], at(0))
            session.graph.delete_nodes([node("gone").key])
        assert ids(backend, "more") == ids(backend, "u") == ids(backend, "old") == [] and ids(backend, "new") == ["n"]

    @clause("graph.search.words.many_writes", needs=FULL_TEXT)
    def test_every_write_is_seen_at_once(self, backend: Backend) -> None:
        """Otherwise an index that is kept up later misses what was just learned, or shows it twice."""
        for number in range(150):
            tell(backend, {f"n{number}": f"common word{number}"})
            if number % 3 == 1:
                tell(backend, {f"n{number - 1}": f"common other{number}"})
            if number % 3 == 2:
                with backend.session(write=True) as session:
                    session.graph.delete_nodes([node(f"n{number - 1}").key])
            assert ids(backend, f"word{number}") == [f"n{number}"]
        assert ids(backend, "common", limit=1000) == sorted(set(ids(backend, "common", limit=1000)))
        assert len(ids(backend, "common", limit=1000)) == 100
        assert ids(backend, "word0") == ids(backend, "word1") == [] and ids(backend, "other1") == ["n0"]

    @pytest.mark.parametrize("text", ["a " * 4000, " ".join(f"w{n % 100}" for n in range(4000)), "a* " * 4000])
    @clause("graph.search.words.repeats", needs=FULL_TEXT)
    def test_repeats_cost_nothing(self, backend: Backend, text: str) -> None:
        """Otherwise one search with a long text keeps the database busy for minutes."""
        tell(backend, {"n": text.replace("*", ""), "m": "a w1"})
        began = perf_counter()
        assert "n" in ids(backend, text)
        assert perf_counter() - began < 1

    @clause("graph.search.words.most_asked", needs=FULL_TEXT)
    def test_as_many_words_as_a_query_may_have(self, backend: Backend) -> None:
        """Otherwise a question that the store accepts is one that the database does not."""
        asked = " ".join(f"w{number}" for number in range(MAX_TERMS))
        tell(backend, {"n": f"{asked} more", "m": asked[:-5]})
        began = perf_counter()
        assert ids(backend, asked) == ["n"] and ids(backend, asked.replace(" ", "* ")) == ["n"]
        assert perf_counter() - began < 1
