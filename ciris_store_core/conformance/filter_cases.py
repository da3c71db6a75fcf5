"""Table of filters: the values that each must find, and those that it must not. The answers are written down."""

from __future__ import annotations

from typing import Any, NamedTuple

from ciris_store_core.models.document_filters import AllOf, AnyOf, Condition, Filter, Not, field
from ciris_store_core.validation.payloads import searchable


class FilterCase(NamedTuple):
    """A filter, values that meet it, and values that do not."""

    filter: Filter
    yes: list[Any]
    no: list[Any]


C = FilterCase
V = field()
X = field("x")
Y = field("y")


def x(*values: Any) -> list[Any]:
    """Return an object with the key x for each value."""
    return [{"x": value} for value in values]


NOT_THERE: list[Any] = [{}, {"y": 1}, {"X": 1}, {"x ": 1}, [], [1], None, "x", 1, {"y": {"x": 1}}, [{"x": 1}]]
"""Values without a part at x."""
OBJECTS = [{"a": 1}, {"a": 1, "b": 2}]

EQUALITY: list[FilterCase] = [
    C(X.eq(1), x(1, 1.0), [*x(2, -1, 0, True, "1", None, [1], {"a": 1}, 1.5, 10), *NOT_THERE]),
    C(X.eq(1.0), x(1, 1.0), x(True, "1", "1.0", 1.0000000000000002, 0.9999999999999999)),
    C(X.eq(0), x(0, 0.0, -0.0), x(False, None, "", "0", [], {}, 5e-324)),
    C(X.eq(-0.0), x(0, 0.0, -0.0), x(False, None)),
    C(X.eq(True), x(True), [*x(False, 1, 1.0, "true", "True", None, [True], {"a": True}), *NOT_THERE]),
    C(X.eq(False), x(False), [*x(True, 0, 0.0, "false", "", None, [], {}), *NOT_THERE]),
    C(X.eq(None), x(None), [*x(0, False, "", "null", "None", [], {}, [None]), *NOT_THERE]),
    C(X.eq(""), x(""), [*x(" ", None, False, 0, [], "\0"), *NOT_THERE]),
    C(X.eq("a"), x("a"), x("A", "a ", " a", "aa", "", "\u00e0", ["a"], {"a": "a"}, "a\0", '"a"')),
    C(X.eq("1"), x("1"), x(1, 1.0, "1.0", "01", True, "1 ")),
    C(X.eq("true"), x("true"), x(True, "True", 1)),
    C(X.eq("null"), x("null"), x(None, "")),
    C(X.eq("\u00e9"), x("\u00e9"), x("e\u0301", "\u00c9", "e")),
    C(X.eq("e\u0301"), x("e\u0301"), x("\u00e9", "e")),
    C(X.eq("\U0001f600"), x("\U0001f600", "\ud83d\ude00"), x("\U0001f601", "\ufffd", "??")),
    C(X.eq("a'b\"c\\d"), x("a'b\"c\\d"), x("a'b\"cd", "a''b\"c\\d", "a'b\"c\\\\d")),
    C(X.eq("%"), x("%"), x("a", "", "%%", "_")),
    C(X.eq("a\nb"), x("a\nb"), x("a\\nb", "a b", "ab", "a\r\nb")),
    C(X.eq("\\u0041"), x("\\u0041"), x("A", "\\\\u0041")),
    C(X.eq("2025-01-01T00:00:00Z"), x("2025-01-01T00:00:00Z"), x("2025-01-01T00:00:00+00:00", "2025-01-01")),
    C(X.eq("x" * 5000), x("x" * 5000), x("x" * 4999, "x" * 5001, "x" * 4999 + "y", "x")),
    C(X.eq("\0"), x("\0", "\ufffd", "\ud800"), x("", "?", "\\u0000")),
    C(X.eq("a\0b"), x("a\0b", "a\ufffdb", "a\udfffb"), x("a", "ab", "a\0c")),
    C(X.eq("\ud800"), x("\ud800", "\0", "\ufffd"), x("\U00010000", "\ufffd\ufffd")),
    C(X.eq([]), x([]), [*x([[]], [None], {}, "", "[]", 0, False, None), *NOT_THERE]),
    C(X.eq({}), x({}), [*x([], {"a": None}, "", "{}", None), *NOT_THERE]),
    C(X.eq([1, 2]), x([1, 2], [1.0, 2.0]), x([2, 1], [1], [1, 2, 3], [1, 2, 2], ["1", "2"], [True, 2], "[1,2]")),
    C(X.eq([1, [2, {"a": None}]]), x([1, [2, {"a": None}]]), x([1, [2, {}]], [1, 2], [1, [2, {"a": 0}]])),
    C(X.eq([None]), x([None]), x([], [0], [""], None, [None, None])),
    C(X.eq([True]), x([True]), x([1], [1.0], ["true"], True)),
    C(
        X.eq({"a": 1, "b": 2}),
        x({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
        x({"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 1}),
    ),
    C(X.eq({"a": None}), x({"a": None}), x({}, {"b": None}, {"a": 0}, {"a": None, "b": None})),
    C(X.eq({"a": {"b": [1]}}), x({"a": {"b": [1.0]}}), x({"a": {"b": [True]}}, {"a": {"b": 1}}, {"a.b": [1]})),
    C(X.eq({"$gt": 1}), x({"$gt": 1}), x(2, {"$gt": 2}, {"gt": 1}, None)),
    C(X.eq({"": 1}), x({"": 1}), x({}, {" ": 1}, 1)),
    C(X.eq({"A": 1}), x({"A": 1}), x({"a": 1}, {"A": 1, "a": 1})),
    C(X.ne(1), [*x(2, True, "1", None, [1], {}), *NOT_THERE], x(1, 1.0)),
    C(X.ne(None), [*x(0, False, "", [], {}), *NOT_THERE], x(None)),
    C(X.ne(True), [*x(1, False, "true", None), *NOT_THERE], x(True)),
    C(X.ne("a"), [*x("A", "a ", None, 1, ["a"]), *NOT_THERE], x("a")),
    C(X.ne([]), [*x({}, [[]], None, ""), *NOT_THERE], x([])),
    C(X.ne({"a": 1, "b": 2}), [*x({"a": 1}, {}), *NOT_THERE], x({"b": 2, "a": 1.0})),
    C(X.is_in([]), [], [*x(1, None, [], {}, ""), *NOT_THERE]),
    C(X.is_in([1]), x(1, 1.0), [*x(2, "1", True, None, [1]), *NOT_THERE]),
    C(X.is_in([None]), x(None), [*x(0, "", False, [None]), *NOT_THERE]),
    C(
        X.is_in([None, 1, "a", True, [1]]),
        x(None, 1, 1.0, "a", True, [1]),
        [*x(False, 0, "A", "1", [True], [], [1, 1]), *NOT_THERE],
    ),
    C(X.is_in(["a", "a", "b"]), x("a", "b"), x("c", "A", "ab", "", ["a", "b"])),
    C(X.is_in([False, 0]), x(False, 0, 0.0), x(None, "", "0", "false", [])),
    C(X.is_in([0.1, 2**53 + 1]), x(0.1, 2**53 + 1), x(2**53, 0.10000000000000002, "0.1")),
    C(X.is_in([{"a": 1, "b": 2}, []]), x({"b": 2, "a": 1}, []), x({"a": 1}, {}, [[]])),
    C(X.is_in(["\0", "x"]), x("\0", "\ufffd", "x"), x("", "X")),
    C(X.exists(), x(1, 0, False, None, "", [], {}), NOT_THERE),
    C(X.exists(False), NOT_THERE, x(1, 0, False, None, "", [], {})),
]

NUMBERS: list[FilterCase] = [
    C(X.eq(2**53 + 1), x(2**53 + 1), x(2**53, 2**53 + 2, 2.0**53, str(2**53 + 1))),
    C(X.eq(2.0**53), x(2**53, 2.0**53), x(2**53 + 1, 2**53 - 1)),
    C(X.eq(2**63 - 1), x(2**63 - 1), x(2**63 - 2, 2**63, 2.0**63, -(2**63))),
    C(X.eq(-(2**63)), x(-(2**63), -(2.0**63), -(2**63) - 1), x(2**63, -(2**63) + 1, -(2**63) - 3000)),
    C(X.eq(2**63), x(2**63, 2.0**63, 2**63 + 1), x(2**63 - 1, 2**63 + 3000, 2**64)),
    C(X.eq(10**30), x(10**30, 1e30), x(10**29, 10**31, 1.0000000000000002e30)),
    C(X.eq(10**400), x(10**400, 10**500, 1.7976931348623157e308), x(-(10**400), 1e308)),
    C(X.eq(0.1), x(0.1), x(0.10000000000000002, 0.09999999999999999, 0, "0.1", 0.100001)),
    C(X.eq(0.3), x(0.3), x(0.1 + 0.2, 0.29999999999999993)),
    C(X.eq(0.1 + 0.2), x(0.30000000000000004), x(0.3, 0.3000000000000001)),
    C(X.eq(1e300), x(1e300), x(1.0000000000000001e300 * 1.0000000000000002, 1e301, 1e299)),
    C(X.eq(5e-324), x(5e-324), x(0, 1e-323, -5e-324)),
    C(X.eq(2.2250738585072014e-308), x(2.2250738585072014e-308), x(2.225073858507201e-308, 0)),
    C(X.eq(123456789.12345679), x(123456789.12345679), x(123456789.12345678, 123456789.1234568, 123456789)),
    C(X.eq(1e22), x(1e22, 10**22), x(1e22 + 2**21, 10**21)),
    C(X.eq(100), x(100, 1e2), x("1e2", "100", 1)),
    C(
        X.gt(1),
        x(2, 1.5, 1.0000000000000002, 10**20, 1e300),
        [*x(1, 1.0, 0, -5, "2", True, None, [2], {"a": 2}), *NOT_THERE],
    ),
    C(X.gte(1), x(1, 1.0, 2, 1.5), [*x(0.9999999999999999, True, "1", "2", None, [1]), *NOT_THERE]),
    C(
        X.lt(1),
        x(0, 0.5, -1, -(10**20), -1e300, 0.9999999999999999),
        [*x(1, 1.0, 2, False, None, "", "0", [], {}), *NOT_THERE],
    ),
    C(X.lte(1), x(1, 1.0, 0, -1), [*x(1.0000000000000002, 2, False, True, None, "1", [0]), *NOT_THERE]),
    C(X.gt(0), x(5e-324, 1), x(0, 0.0, -0.0, -5e-324, True, "1")),
    C(X.gte(0), x(0, -0.0, 1), x(-1, -5e-324, False, None, "")),
    C(X.lt(0), x(-1, -5e-324), x(0, -0.0, False, None, "-1")),
    C(X.gt(9), x(10, 100, 9.5), x(9, 2, "10", "91")),
    C(X.lt(10), x(9, 2, -10), x(10, 100, "9")),
    C(X.gt(0.1), x(0.10000000000000002, 1), x(0.1, 0.09999999999999999, 0)),
    C(X.gte(0.1), x(0.1, 0.10000000000000002), x(0.09999999999999999, 0)),
    C(X.lt(0.3), x(0.29999999999999993, 0), x(0.3, 0.30000000000000004)),
    C(X.lte(0.3), x(0.3, 0), x(0.30000000000000004, 0.30000000000000010)),
    C(X.gt(2**53), x(2**53 + 1, 2**53 + 2), x(2**53, 2.0**53, 2**53 - 1)),
    C(X.lt(2**53 + 1), x(2**53, 2.0**53), x(2**53 + 1, 2**53 + 2)),
    C(X.gt(2**63 - 2), x(2**63 - 1, 2**63, 1e19), x(2**63 - 2, 0, -(2**63))),
    C(X.gt(2**63 - 1), x(2**63, 10**30), x(2**63 - 1, -(10**30))),
    C(X.lt(2**63), x(2**63 - 1, 0), x(2**63, 2.0**63, 2**64)),
    C(X.lte(-(2**63)), x(-(2**63), -(10**30)), x(-(2**63) + 1, 0)),
    C(X.gte(10**400), x(10**400, 1.7976931348623157e308), x(1e308, 10**300)),
    C(X.gt(-1.5), x(-1, -1.4999999999999998, 0), x(-1.5, -2)),
    C(X.gte(-2), x(-2, -1.5), x(-2.0000000000000004, -3)),
    C(X.gte(1) & X.lte(3), x(1, 2, 3.0), x(0, 4, "2", None)),
    C(X.gt(1) & X.lt(2), x(1.5), x(1, 2, "1.5")),
]

TEXTS: list[FilterCase] = [
    C(
        X.gt("a"),
        x("b", "aa", "a ", "a\0", "\u00e9", "\U0010ffff"),
        [*x("a", "A", "", "Z", 1, None, True, ["b"], {"b": 1}), *NOT_THERE],
    ),
    C(X.gte("a"), x("a", "b", "a "), [*x("A", "", "Z", "_", 99, None), *NOT_THERE]),
    C(X.lt("a"), x("", "A", "Z", " ", "0", "_"), [*x("a", "b", "a ", "\u00e0", 0, None, False, []), *NOT_THERE]),
    C(X.lte("a"), x("a", "A", ""), [*x("a ", "b", "aa", -1, None), *NOT_THERE]),
    C(X.gt(""), x("a", " ", "\x01", "\0"), [*x("", 1, None, [], {}, True), *NOT_THERE]),
    C(X.gte(""), x("", "a"), [*x(1, None, False, [""]), *NOT_THERE]),
    C(X.lt(""), [], x("", "a", None, 0)),
    C(X.gt("Z"), x("a", "[", "_"), x("Z", "A", "B")),
    C(X.lt("B"), x("A", "AZ", "9"), x("B", "a", "b", "C")),
    C(X.gt("10"), x("9", "100", "1a", "2"), x("10", "1", "0", 11, 100)),
    C(X.lt("9"), x("10", "8", "", "89"), x("9", "90", 8, "A")),
    C(X.gt("z"), x("\u00e9", "\u00df", "zz", "{"), x("z", "y", "e\u0301", "Z")),
    C(X.lt("\u00e9"), x("e", "f", "z", "e\u0301"), x("\u00e9", "\u00ea", "\u4e2d")),
    C(X.gt("\uffff"), x("\U00010000", "\U0001f600", "\U0010ffff"), x("\uffff", "\ud7ff", "\ue000", "a")),
    C(X.lt("\U00010000"), x("\uffff", "\ue000", "\ufffd", "z"), x("\U00010000", "\U0010ffff")),
    C(X.gt("\ud7ff"), x("\ue000", "\uffff", "\U00010000", "\ud800"), x("\ud7ff", "a")),
    C(X.gte("a-b"), x("a-b", "ab", "a.b"), x("a b", "a", "a,b")),
    C(X.gt("a b"), x("a-b", "a_b", "ab", "aB"), x("a b", "a", "a\tb")),
    C(X.gt("x" * 3000), x("x" * 3001, "x" * 2999 + "y", "y"), x("x" * 3000, "x" * 2999, "w")),
    C(X.gte("2024") & X.lt("2025"), x("2024", "2024-12-31"), x("2025", "2023-12-31", 2024)),
    C(X.gt("\0"), x("\U00010000", "\ufffe"), x("\0", "\ufffd", "a", "")),
    C(X.lte("\ud800"), x("\0", "\ufffd", "a"), x("\uffff", "\U00010000")),
    C(X.gt("true"), x("truf"), x(True, "true", False)),
    C(X.lt("a'b"), x("a", "a&b", 'a"b'), x("a'b", "a(b")),
]

CONTAINS: list[FilterCase] = [
    C(
        X.contains(1),
        x([1], [1.0], [0, 1], [None, 1]),
        [*x([], [[1]], ["1"], [True], [2], 1, "1", {"a": 1}, [{"a": 1}], None), *NOT_THERE],
    ),
    C(X.contains(0), x([0], [-0.0]), x([False], [None], [""], [], [[]])),
    C(X.contains(True), x([True], [1, True]), x([1], ["true"], True, [[True]])),
    C(X.contains(False), x([False]), x([0], [None], [""], False, [])),
    C(X.contains(None), x([None], [1, None]), [*x([], None, [[]], ["null"], [0], {"a": None}), *NOT_THERE]),
    C(
        X.contains("a"),
        x(["a"], ["b", "a"], "a", "abc", "cba"),
        [*x(["A"], ["ab"], "A", "", [["a"]], {"a": 1}, {"x": "a"}), *NOT_THERE],
    ),
    C(X.contains(""), x("", "a", [""]), [*x([], ["a"], [" "], None, 0, {"": 1}), *NOT_THERE]),
    C(X.contains("%"), x("100%", "%", ["%"]), x("100", "", "a", ["a"])),
    C(X.contains("_"), x("a_b"), x("ab", "a-b", "")),
    C(X.contains("a.c"), x("xa.cx"), x("abc", "a\\.c")),
    C(X.contains("*"), x("a*"), x("a", "")),
    C(X.contains("\\"), x("a\\b"), x("ab", "a/b")),
    C(X.contains("\u00e9"), x("caf\u00e9", ["\u00e9"]), x("cafe", "cafe\u0301", "CAF\u00c9")),
    C(X.contains("\U0001f600"), x("a\U0001f600b"), x("a\U0001f601b", "\ufffd")),
    C(X.contains("\0"), x("a\0", "\ufffd", ["\ud800"]), x("", "a", ["a"])),
    C(X.contains("1"), x("1", "21", ["1"]), x(1, [1], 21, {"1": 1})),
    C(X.contains("null"), x("null", "annulled"), x(None, [None])),
    C(X.contains("x" * 3000), x("y" + "x" * 3000, ["x" * 3000]), x("x" * 2999, ["x" * 3001])),
    C(X.contains([]), x([[]], [1, []]), x([], [1], [[1]], [{}], "[]", {})),
    C(X.contains([1]), x([[1]], [[2], [1.0]]), x([1], [[1, 2]], [[[1]]], [["1"]], [[True]])),
    C(X.contains({}), x([{}]), x({}, [], [[]], [{"a": 1}], [1])),
    C(
        X.contains({"a": 1}),
        x([{"a": 1}], [0, {"a": 1.0}]),
        x({"a": 1}, [{"a": 1, "b": 2}], [{"a": 2}], [[{"a": 1}]], ["a"]),
    ),
    C(X.contains({"a": 1, "b": 2}), x([{"b": 2, "a": 1}]), x([{"a": 1}, {"b": 2}], [{"a": 1, "b": 2, "c": 3}])),
    C(X.contains(2**53 + 1), x([2**53 + 1]), x([2**53], [2**53 + 2])),
    C(X.contains(0.1), x([0.1]), x([0.10000000000000002], ["0.1"])),
    C(V.contains("b"), [["b"], "abc"], [{"b": 1}, ["abc"], "B", None]),
]

PATHS: list[FilterCase] = [
    C(field("a.b").eq(1), [{"a.b": 1}], [{"a": {"b": 1}}, {"a": 1}, {"b": 1}]),
    C(field("a", "b").eq(1), [{"a": {"b": 1}}], [{"a.b": 1}, {"a": [{"b": 1}]}, {"b": 1}, {"a": 1}, {"b": {"a": 1}}]),
    C(field("a", "b").exists(False), [{"a.b": 1}, {"a": None}, {"a": "b"}, {"a": []}, {}], [{"a": {"b": None}}]),
    C(field("a", "b").eq(None), [{"a": {"b": None}}], [{"a": None}, {"a": {}}, {}]),
    C(field("a", "b").ne(None), [{"a": None}, {"a": {}}, {}, {"a": {"b": 1}}], [{"a": {"b": None}}]),
    C(field("0").eq(1), [{"0": 1}], [[1], {"x": 1}, [[1]]]),
    C(field(0).eq(1), [[1], [1.0, 2]], [{"0": 1}, [], [2, 1], [[1]], 1, "1", None, [True]]),
    C(field(1).eq("b"), [["a", "b"]], [["b"], ["b", "a"], "ab", {"1": "b"}, ["a", "B"]]),
    C(field(0).exists(), [[None], [0]], [[], {"0": 1}, "a", None, 5]),
    C(field(0).exists(False), [[], {"0": 1}, "a", None], [[None], [[]]]),
    C(field(10).eq(10), [[*range(11)]], [[*range(10)], [10], {"10": 10}]),
    C(field(10**12).exists(), [], [[1], {"1000000000000": 1}]),
    C(field("x", 0).eq(1), x([1], [1, 2]), x([2, 1], {"0": 1}, 1, [[1]], [])),
    C(field("x", "0").eq(1), x({"0": 1}), x([1], {"00": 1})),
    C(field("x", 1, "y").eq(1), x([0, {"y": 1}]), x([{"y": 1}], {"1": {"y": 1}}, [0, {"y": 2}], [0, [1]])),
    C(field("x", 0, 0).eq(1), x([[1]]), x([1], [[0, 1]], [[[1]]])),
    C(field("x", 0, 0, "y").gt(1), x([[{"y": 2}]]), x([[{"y": 1}]], [{"y": 2}])),
    C(field("").eq(1), [{"": 1}], [{" ": 1}, {}, 1, {"x": 1}]),
    C(field("", "").eq(1), [{"": {"": 1}}], [{"": 1}, {"": {}}]),
    C(field(" ").eq(1), [{" ": 1}], [{"": 1}, {"  ": 1}]),
    C(field("$").eq(1), [{"$": 1}], [1, {"x": 1}, {"$$": 1}]),
    C(field("$.x").eq(1), [{"$.x": 1}], [{"x": 1}, {"$": {"x": 1}}]),
    C(field("[0]").eq(1), [{"[0]": 1}], [[1], {"0": 1}]),
    C(field("x[0]").eq(1), [{"x[0]": 1}], [{"x": [1]}]),
    C(field("*").eq(1), [{"*": 1}], [{"x": 1}, {"a": 1}]),
    C(field("#-1").eq(1), [{"#-1": 1}], [[1], {"x": 1}]),
    C(field("-1").eq(1), [{"-1": 1}], [[1], [2, 1]]),
    C(field("a,b").eq(1), [{"a,b": 1}], [{"a": {"b": 1}}, {"a": 1}]),
    C(field("{a}").eq(1), [{"{a}": 1}], [{"a": 1}]),
    C(field('a"b').eq(1), [{'a"b': 1}], [{"ab": 1}, {'a\\"b': 1}]),
    C(field('"a"').eq(1), [{'"a"': 1}], [{"a": 1}]),
    C(field("a'b").eq(1), [{"a'b": 1}], [{"ab": 1}, {"a''b": 1}]),
    C(field("a\\b").eq(1), [{"a\\b": 1}], [{"ab": 1}, {"a\\\\b": 1}]),
    C(field("\\").eq(1), [{"\\": 1}], [{"\\\\": 1}, {"": 1}]),
    C(field("a\nb").eq(1), [{"a\nb": 1}], [{"a\\nb": 1}, {"ab": 1}]),
    C(field("\x01").eq(1), [{"\x01": 1}], [{"": 1}, {"\x02": 1}]),
    C(field("\0").eq(1), [{"\0": 1}, {"\ufffd": 1}], [{"": 1}]),
    C(field("a\ud800").eq(1), [{"a\ud800": 1}, {"a\ufffd": 1}], [{"a": 1}]),
    C(field("\u00e9").eq(1), [{"\u00e9": 1}], [{"e\u0301": 1}, {"\u00c9": 1}, {"e": 1}]),
    C(field("\U0001f600").eq(1), [{"\U0001f600": 1}], [{"\U0001f601": 1}, {"?": 1}]),
    C(field("X").eq(1), [{"X": 1}], [{"x": 1}, {"x": 1, "X": 2}]),
    C(field("k" * 3000).eq(1), [{"k" * 3000: 1}], [{"k" * 2999: 1}, {"k" * 2999 + "l": 1}]),
    C(field("a') OR 1=1--").eq(1), [{"a') OR 1=1--": 1}], [{"a": 1}, {}]),
    C(field("%s").eq(1), [{"%s": 1}], [{"s": 1}, {"%": 1}]),
    C(field("?").eq(1), [{"?": 1}], [{"x": 1}, {"": 1}]),
    C(field(":x").eq(1), [{":x": 1}], [{"x": 1}]),
    C(field("eq").eq(1), [{"eq": 1}], [{"x": 1}]),
    C(field("$gt").gt(1), [{"$gt": 2}], [{"$gt": 1}, 2]),
    C(field("$and", 0).exists(), [{"$and": [1]}], [{"$and": []}, {}]),
    C(field("__proto__").eq(1), [{"__proto__": 1}], [{}]),
    C(field("length").eq(1), [{"length": 1}], [[1], "a"]),
    C(
        field(*"abcdefghij").eq(1),
        [{"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": 1}}}}}}}}}}],
        [{"a": {"b": {"c": 1}}}, {"j": 1}],
    ),
    C(V.eq(1), [1, 1.0], [{"x": 1}, [1], "1", True, None]),
    C(V.eq(None), [None], [{}, [], "", 0, False, {"x": None}]),
    C(V.eq("a"), ["a"], ["A", ["a"], {"a": 1}]),
    C(V.eq({"b": 2, "a": 1}), [{"a": 1, "b": 2}], [{"a": 1}, {}]),
    C(V.eq([]), [[]], [{}, None, "", [[]]]),
    C(V.exists(), [None, 0, "", [], {}, False], []),
    C(V.exists(False), [], [None, 0, "", [], {}]),
    C(V.gt(1), [2, 1.5], [1, "2", {"x": 2}, [2], True, None]),
    C(V.lt("b"), ["a", ""], ["b", 1, ["a"], None]),
    C(V.is_in([1, "a", None]), [1, "a", None], [2, [1], {"a": 1}, False]),
    C(V.ne(1), [2, {"x": 1}, None, "1", [1]], [1, 1.0]),
]

COMBINED: list[FilterCase] = [
    C(~X.eq(1), [*x(2, None, "1", True), *NOT_THERE], x(1, 1.0)),
    C(~X.eq(None), [*x(1, "", []), *NOT_THERE], x(None)),
    C(~X.ne(1), x(1, 1.0), [*x(2, None), *NOT_THERE]),
    C(~X.ne(None), x(None), [*x(1), *NOT_THERE]),
    C(~X.gt(1), [*x(1, 0, "2", None, True, []), *NOT_THERE], x(2, 1.5)),
    C(~X.lte("b"), [*x("c", 1, None), *NOT_THERE], x("a", "b", "")),
    C(~X.is_in([1, None]), [*x(2, "1", True), *NOT_THERE], x(1, None)),
    C(~X.is_in([]), [*x(1, None), *NOT_THERE], []),
    C(~X.contains(1), [*x([], [2], 1, "1", None, {"a": 1}), *NOT_THERE], x([1], [2, 1.0])),
    C(~X.contains("a"), [*x("b", ["ab"], None, 1), *NOT_THERE], x("ab", ["a"])),
    C(~X.exists(), NOT_THERE, x(None, 1)),
    C(~X.exists(False), x(None, 1), NOT_THERE),
    C(~~X.eq(1), x(1), [*x(2, None), *NOT_THERE]),
    C(~~X.gt(1), x(2), [*x(1, "2", None), *NOT_THERE]),
    C(~~~X.gt(1), [*x(1, None), *NOT_THERE], x(2)),
    C(X.eq(1) & Y.eq(2), [{"x": 1, "y": 2}], [{"x": 1}, {"y": 2}, {"x": 2, "y": 1}, {"x": 1, "y": None}, {}]),
    C(X.eq(1) | Y.eq(2), [{"x": 1}, {"y": 2}, {"x": 1, "y": None}, {"x": None, "y": 2}], [{"x": 2, "y": 1}, {}, None]),
    C(~(X.eq(1) & Y.eq(2)), [{"x": 1}, {"y": 2}, {}, None, {"x": None, "y": None}], [{"x": 1, "y": 2}]),
    C(~(X.eq(1) | Y.eq(2)), [{"x": 2}, {}, None, {"x": None}], [{"x": 1}, {"y": 2}, {"x": 1, "y": 2}]),
    C(~X.eq(1) & ~Y.eq(2), [{"x": 2}, {}, {"x": None}], [{"x": 1}, {"y": 2}, {"x": 3, "y": 2}]),
    C(~X.eq(1) | ~Y.eq(2), [{"x": 1}, {"y": 2}, {}], [{"x": 1, "y": 2}]),
    C(X.eq(1) & ~Y.exists(), [{"x": 1}], [{"x": 1, "y": None}, {"x": 1, "y": 1}, {}]),
    C(X.eq(1) & Y.ne(2), [{"x": 1}, {"x": 1, "y": 3}], [{"x": 1, "y": 2}, {"y": 3}]),
    C(X.gt(1) & X.gt("a"), [], [*x(2, "b", None), *NOT_THERE]),
    C(X.gt(1) | X.gt("a"), x(2, "b"), [*x(1, "a", None, True), *NOT_THERE]),
    C(
        (X.eq(1) | X.eq(2)) & (Y.eq(1) | Y.eq(2)),
        [{"x": 1, "y": 2}, {"x": 2, "y": 2}],
        [{"x": 1}, {"x": 1, "y": 3}, {"y": 1}],
    ),
    C(X.eq(1) | X.eq(2) & Y.eq(1), [{"x": 1}, {"x": 2, "y": 1}], [{"x": 2}, {"y": 1}]),
    C(X.contains("a") & X.contains("b"), x("ab", ["b", "a"], "xbxa"), x("a", ["ab"], ["a"], "b")),
    C(X.contains("a") & X.gt("b"), x("ca"), x("ab", "c", ["a", "c"])),
    C(X.contains(1) | Y.eq(1), [{"x": [1]}, {"y": 1}], [{"x": 1}, {"x": [2], "y": 2}]),
    C(~(X.contains(1) | Y.eq(1)), [{"x": 1}, {}, None], [{"x": [1]}, {"y": 1}]),
    C(X.eq([1]) & Y.eq(1), [{"x": [1], "y": 1}], [{"x": [1]}, {"x": 1, "y": 1}]),
    C(X.ne([1]) & Y.eq(1), [{"y": 1}, {"x": [2], "y": 1}], [{"x": [1], "y": 1}, {"x": 1}]),
    C(AllOf(()), [None, {}, [], 1, "a"], []),
    C(AnyOf(()), [], [None, {}, [], 1, "a"]),
    C(Not(AllOf(())), [], [None, {}, 1]),
    C(Not(AnyOf(())), [None, {}, [], 1], []),
    C(AllOf((X.eq(1),)), x(1), [*x(2), *NOT_THERE]),
    C(AnyOf((X.eq(1),)), x(1), [*x(2), *NOT_THERE]),
    C(AllOf((X.exists(), X.ne(1), X.ne(2), ~X.eq(3))), x(4, None, "1"), [*x(1, 2, 3), *NOT_THERE]),
    C(AnyOf((X.eq(1), X.eq("1"), X.eq(True), X.eq(None))), x(1, "1", True, None), [*x(2, False, 0), *NOT_THERE]),
    C(
        AllOf((AnyOf((X.eq(1), Y.eq(1))), Not(AllOf((X.eq(1), Y.eq(1)))))),
        [{"x": 1}, {"y": 1}, {"x": 1, "y": 2}],
        [{"x": 1, "y": 1}, {}],
    ),
    C(X.eq(1) & AnyOf(()), [], x(1, 2)),
    C(X.eq(1) | AllOf(()), [*x(1, 2), {}, None], []),
]

FILTER_CASES: dict[str, list[FilterCase]] = {
    "equality": EQUALITY,
    "numbers": NUMBERS,
    "texts": TEXTS,
    "contains": CONTAINS,
    "paths": PATHS,
    "combined": COMBINED,
}
"""All filters, by subject."""


def cleaned(condition: Filter) -> Filter:
    """Return a filter with the operands and keys that a backend gets from the layer above it."""
    if isinstance(condition, AllOf | AnyOf):
        return type(condition)(tuple(map(cleaned, condition.parts)))
    if isinstance(condition, Not):
        return Not(cleaned(condition.part))
    assert isinstance(condition, Condition)
    path = tuple(searchable(step) if isinstance(step, str) else step for step in condition.path)
    operand = searchable(condition.operand)
    return Condition(path, condition.operator, tuple(operand) if condition.operator == "in" else operand)
