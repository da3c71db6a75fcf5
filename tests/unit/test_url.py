"""Database URLs: every clause of the contract about them, and that no password is ever shown."""

from __future__ import annotations

import traceback
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciris_store_core.errors import InvalidArgument, InvalidURL
from ciris_store_core.url import StoreURL, build_url, resolve_url


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIRIS_DB_URL", raising=False)


# --- which URL --------------------------------------------------------------------------------


def test_without_any_url_the_default_one_is_used() -> None:
    url = resolve_url()
    assert (url.scheme, url.database, url.is_default) == ("sqlite", "data/ciris.db", True)


def test_the_environment_wins_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRIS_DB_URL", "sqlite:///other.db")
    assert (resolve_url().database, resolve_url().is_default) == ("other.db", False)


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRIS_DB_URL", "postgresql://h/db")
    assert resolve_url("mine.db") == StoreURL("sqlite", database="mine.db")


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_setting_is_not_a_silent_fall_back_to_sqlite(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("CIRIS_DB_URL", empty)
    with pytest.raises(InvalidURL, match="CIRIS_DB_URL is set but empty"):
        resolve_url()
    with pytest.raises(InvalidURL, match="the database URL is empty"):
        resolve_url(empty)


def test_only_the_default_file_is_marked_as_default() -> None:
    assert resolve_url("sqlite:///data/ciris.db").is_default
    assert not resolve_url("sqlite:///data/ciris.db?create=false").is_default
    assert not resolve_url("data/ciris.db").is_default


def test_a_url_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidURL, match="text or a path, not int"):
        resolve_url(7)  # type: ignore[arg-type]
    assert issubclass(InvalidURL, InvalidArgument)


# --- SQLite -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///rel.db", "rel.db"),
        ("sqlite:////abs/x.db", "/abs/x.db"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite://", ":memory:"),
        ("sqlite://?create=false", ":memory:"),
        ("SQLITE:///Rel.db", "Rel.db"),
        ("sqlite:///C:/x.db", "C:/x.db"),
        ("sqlite:///a%3Fb%23c%25d.db", "a?b#c%d.db"),
        ("sqlite:///mein%20gr%C3%BC%C3%9F.db", "mein grüß.db"),
        ("sqlite:///plus+sign.db", "plus+sign.db"),
        ("some/file.db", "some/file.db"),
        ("/abs/file.db", "/abs/file.db"),
        (":memory:", ":memory:"),
        ("./a:b.db", "./a:b.db"),
        ("C:\\x.db", "C:\\x.db"),
        ("C:/x.db", "C:/x.db"),
        ("100%25 sure?#.db", "100%25 sure?#.db"),
        (Path("some/file.db"), "some/file.db"),
        (PurePosixPath("/abs/a?b#c%20.db"), "/abs/a?b#c%20.db"),
    ],
)
def test_sqlite_paths(text: str | Path, path: str) -> None:
    url = resolve_url(text)
    assert (url.scheme, url.database, url.hosts, url.password) == ("sqlite", path, (), None)
    assert resolve_url(str(url)).database == path


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("sqlite:///", "sqlite:// for one in memory"),
        ("sqlite:///?create=false", "sqlite:// for one in memory"),
        ("sqlite://data/x.db", "three slashes"),
        ("sqlite://:memory:", "sqlite:///:memory:"),
        ("sqlite:///a#b.db", "%23"),
        ("sqlite:///100%.db", "%25"),
        ("sqlite:///%zz.db", "%25"),
        ("sqlite:///%ff.db", "not UTF-8"),
        ("sqlite:///a.db ", "white space"),
        ("sqlite:///a\0b.db", "NUL"),
        ("sqlite:///a%00b.db", "NUL"),
        ("sqlite:///a%0Ab.db", "line break"),
        ("sqlite:///a.db\n", "line break"),
        ("a\nb.db", "line break"),
        ("a\ud800.db", "lone surrogate"),
        ("sqlite+aiosqlite:///a.db", "Write sqlite://"),
        ("sqlite:a.db", "looks like a database URL"),
        ("file:a.db?mode=ro", "looks like a database URL"),
        (" sqlite:///a.db", "looks like a database URL"),
        ("1sqlite:///a.db", "looks like a database URL"),
        (Path("postgresql://u:pw@h/db"), "looks like a database URL"),
    ],
)
def test_sqlite_mistakes_get_advice(text: str | Path, advice: str) -> None:
    with pytest.raises(InvalidURL, match=advice):
        resolve_url(text)


# --- PostgreSQL and other servers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "user", "hosts", "database"),
    [
        ("postgresql://localhost:5432/db", None, (("localhost", 5432),), "db"),
        ("postgres://u@h/db", "u", (("h", None),), "db"),
        ("POSTGRESQL://H", None, (("H", None),), ""),
        ("postgresql://", None, (), ""),
        ("postgresql:///db", None, (), "db"),
        ("postgresql://u@/db", "u", (), "db"),
        ("postgresql://:5433/db", None, (("", 5433),), "db"),
        ("postgresql://h1:1,h2,h3:3/db", None, (("h1", 1), ("h2", None), ("h3", 3)), "db"),
        ("postgresql://[::1]:5432/db", None, (("::1", 5432),), "db"),
        ("postgresql://[2001:db8::1],h2/db", None, (("2001:db8::1", None), ("h2", None)), "db"),
        ("postgresql://[fe80::1%25eth0]/db", None, (("fe80::1%eth0", None),), "db"),
        ("postgresql://u@%2Fvar%2Frun:5433/db", "u", (("/var/run", 5433),), "db"),
        ("postgresql:///db?host=/var/run", None, (("/var/run", None),), "db"),
        ("postgresql:///db?host=h1,::1&port=1,2", None, (("h1", 1), ("::1", 2)), "db"),
        ("postgresql://h1,h2/db?port=6000", None, (("h1", 6000), ("h2", 6000)), "db"),
        ("postgresql:///db?port=6000", None, (("", 6000),), "db"),
        ("postgresql://me@server@h/db", "me@server", (("h", None),), "db"),
        ("postgresql://h/a%2Fb%40c", None, (("h", None),), "a/b@c"),
        ("mydb:///dir/file", None, (), "dir/file"),
        ("mydb://h/dir/file", None, (("h", None),), "dir/file"),
    ],
)
def test_server_urls(text: str, user: str | None, hosts: tuple[tuple[str, int | None], ...], database: str) -> None:
    url = resolve_url(text)
    assert (url.username, url.password, url.hosts, url.database) == (user, None, hosts, database)
    assert dict(url.options) == {}
    assert resolve_url(str(url)) == url


@pytest.mark.parametrize(
    ("raw", "password"),
    [
        ("plain", "plain"),
        ("p@ss", "p@ss"),
        ("p@ss@", "p@ss@"),
        ("a:b", "a:b"),
        ("a/b", "a/b"),
        ("/a/@b:5432/", "/a/@b:5432/"),
        ("[x]", "[x]"),
        ("p%40ss", "p@ss"),
        ("a%3Fb%23c", "a?b#c"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("%40%zz", "%40%zz"),
        ("%25zz", "%zz"),
        ("a+b c", "a+b c"),
        ("pä", "pä"),
        ("", ""),
    ],
)
def test_passwords_raw_or_encoded(raw: str, password: str) -> None:
    url = resolve_url(f"postgresql://u:{raw}@h:5432/db?application_name=x")
    assert (url.username, url.password, url.hosts, url.database) == ("u", password, (("h", 5432),), "db")
    assert dict(url.options) == {"application_name": "x"}


@given(st.text(st.characters(codec="utf-8", exclude_characters="?#%\0\r\n\x85\u2028\u2029")))
def test_any_raw_password_without_question_mark_hash_and_percent(password: str) -> None:
    assert resolve_url(f"postgresql://u:{password}@h/db").password == password


def _texts(exclude: str = "", min_size: int = 0) -> st.SearchStrategy[str]:
    characters = st.characters(codec="utf-8", exclude_characters="\0\r\n\x85\u2028\u2029" + exclude)
    return st.text(characters, min_size=min_size, max_size=12)


@given(
    username=_texts(min_size=1),
    password=_texts(),
    port=st.none() | st.integers(1, 65535),
    database=_texts(),
    options=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), _texts()),
)
def test_what_was_built_is_read_back(
    username: str, password: str, port: int | None, database: str, options: dict[str, str]
) -> None:
    options = {name: value for name, value in options.items() if name not in ("host", "port")}
    parts = {"username": username, "password": password, "hosts": (("h", port),), "database": database}
    url = resolve_url(build_url("postgresql", **parts, options=options))  # type: ignore[arg-type]
    assert url == StoreURL("postgresql", **parts, options=options)  # type: ignore[arg-type]


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("postgresql://u:hunter2?x@h/db", "%3F"),
        ("postgresql://u:a@hunter2?x=y@h/db", "%3F"),
        ("postgresql://u:hunter2#x@h/db", "%23"),
        ("postgresql://u:hunter2%FF@h/db", "not UTF-8"),
        ("postgresql://u:hunter2%0A@h/db", "line break"),
        ("postgresql://u:hunter2\n@h/db", "line break"),
        ("postgresql://u:hunter2@h\ud800/db", "lone surrogate"),
        ("postgresql://u:hunter2", "port is not a number"),
        ("postgresql://u:hunter2@h:port/db", "port is not a number"),
        ("postgresql://u:hunter2@h:0/db", "port is not a number"),
        ("postgresql://u:hunter2@h:65536/db", "port is not a number"),
        ("postgresql://u:hunter2@h:/db", "port is not a number"),
        ("postgresql://u:hunter2@h:٣/db", "port is not a number"),
        ("postgresql://u:hunter2@[::1/db", "has no ']'"),
        ("postgresql://u:hunter2@[::1]5432/db", "has no ']'"),
        ("postgresql://u:hunter2@[::hunter2]/db", "not an IPv6 address"),
        ("postgresql://u:hunter2@::1/db", "in brackets"),
        ("postgresql://u:hunter2@h1,,h2/db", "empty host"),
        ("postgresql://u:hunter2@a b/db", "neither a name"),
        ("postgresql://u:hunter2@h%2Cevil/db", "neither a name"),
        ("postgresql://u:hunter2@%2Frun%2Cevil/db", "neither a name"),
        ("postgresql://u:hunter2@%zz/db", "%25"),
        ("postgresql://u:hunter2@h/%zz", "%25"),
        ("postgresql://%zz:hunter2@h/db", "%25"),
        ("postgresql://u:hunter2@h/db/more", "database name"),
        ("postgresql:///u:hunter2@h/db", "user name"),
        ("postgresql://u:hunter2@h/db?hunter2", "name=value"),
        ("postgresql://u:hunter2@h/db?a=1&&b=2", "name=value"),
        ("postgresql://u:hunter2@h/db?password=hunter2&password=hunter2", "given twice"),
        ("postgresql://u:hunter2@h/db?password=hunter2%zz", "%25"),
        ("postgresql://u:hunter2@h/db?host=other", "host="),
        ("postgresql://u:hunter2@h:1/db?port=2", "port="),
        ("postgresql://u:hunter2@h1,h2,h3/db?port=1,2", "3 hosts but 2 ports"),
        ("postgresql+psycopg2://u:hunter2@h/db", "Write postgresql://"),
        ("postgresql:/u:hunter2@h/db", "looks like a database URL"),
        ("postgresql:u:hunter2@h/db", "looks like a database URL"),
        (" postgresql://u:hunter2@h/db", "looks like a database URL"),
        ("u_1:hunter2@h/db", "looks like a database URL"),
        ("://u:hunter2@h/db", "looks like a database URL"),
        ("sqlite://u:hunter2@h/db", "has no host"),
        ("sqlite:///u:hunter2@h/db", "no user and no password"),
        ("memory://u:hunter2@h/db", "no user and no password"),
        ("//u:hunter2@h/db", "looks like a database URL"),
        ("postgresql//u:hunter2@h/db", "looks like a database URL"),
        ("postgresql//u:hunter2[::1]/db", "looks like a database URL"),
        ("u:hunter2@h/db", "looks like a database URL"),
        ("host=db dbname=x user=u password=hunter2", "Write postgresql://user:password@host:5432/dbname"),
        ("dbname = x password = 'hunter2'", "connection keywords"),
        ("x=1 password=hunter2", "connection keywords"),
        ("Server=db;Database=x;User Id=u;Password=hunter2", "connection keywords"),
        ("agent.db?password=hunter2", "a bare path takes no options"),
        ("agent.db&password=hunter2", "a bare path takes no options"),
        ("postgresql://u@h/db&password=hunter2", "Begin the options with"),
        ("postgresql://u@h&password=hunter2", "neither a name"),
        ("postgresql://u@h:5432&password=hunter2", "port is not a number"),
        ("sqlite:///x.db&encryption_key=hunter2", "Begin the options with"),
        ("memory://x&token=hunter2", "Begin the options with"),
        ("mydb://h/x&token=hunter2", "Begin the options with"),
    ],
)
def test_mistakes_get_advice_and_never_show_the_password(text: str, advice: str) -> None:
    with pytest.raises(InvalidURL, match=advice) as caught:
        resolve_url(text)
    _assert_hidden(caught.value)


_WITH_A_PASSWORD = [
    "postgresql://u:hunter2@h:5432/db?connect_timeout=1",
    "postgresql://u:hunter2@[::1],h2/db",
    "postgresql://h/db?sslmode=require&password=hunter2",
    "sqlite:///x.db?create=true&encryption_key=hunter2",
    "memory://name?token=hunter2",
    "host=h dbname=db user=u password=hunter2",
]
_SLIP = st.sampled_from(
    ["", "/", "//", "?", "&", "#", "%", "%zz", "@", ":", "[", "]", ",", " ", "=", "\\", "\ud800", "é"]
)


@settings(max_examples=500)
@given(url=st.sampled_from(_WITH_A_PASSWORD), slips=st.lists(st.tuples(st.integers(0, 60), _SLIP), max_size=3))
def test_no_slip_beside_a_password_shows_it(url: str, slips: list[tuple[int, str]]) -> None:
    # The text before the password's ':' or name stays: without them it cannot be recognised as one.
    kept = {place for sign in (":hunter2", "password=hunter2", "encryption_key=hunter2", "token=hunter2")
            if (begin := url.find(sign)) >= 0 for place in range(begin, begin + len(sign))}  # fmt: skip
    pieces = list(url)
    for place, slip in slips:
        if place < len(url) and place not in kept:
            pieces[place] = slip
    try:
        read = resolve_url("".join(pieces))
    except InvalidURL as error:
        _assert_hidden(error)
    else:
        assert SECRET not in f"{read} {read!r} {read.username} {read.hosts} {read.database}"


def _assert_hidden(error: BaseException) -> None:
    """Neither in the message, nor in its chain, nor in any local variable of our frames."""
    assert error.__cause__ is None
    assert error.__context__ is None
    assert SECRET not in "".join(map(str, error.args))
    ours = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if "ciris_store_core" in frame.f_code.co_filename
    ]
    assert ours
    assert not any(SECRET in repr(value) for frame in ours for value in frame.f_locals.values())


# --- showing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@h:1/db?a=b", "postgresql://u:***@h:1/db?a=b"),
        ("postgres://:hunter2@[::1]/db", "postgres://:***@[::1]/db"),
        ("postgresql://u:hunt%40er2@%2Frun/db", "postgresql://u:***@%2Frun/db"),
        ("postgresql://h/db?password=hunter2&sslpassword=hunter2", "postgresql://h/db?password=***&sslpassword=***"),
        ("postgresql://h/d?listen_url=postgresql://u:hunter2%40h/d", "postgresql://h/d?listen_url=***"),
        ("sqlite:///a%20b.db?encryption_key=hunter2", "sqlite:///a%20b.db?encryption_key=***"),
        ("memory://name?a=/b", "memory://name?a=/b"),
        (":memory:", "sqlite:///:memory:"),
    ],
)
def test_a_url_is_shown_without_its_secrets(text: str, shown: str) -> None:
    url = resolve_url(text)
    assert str(url) == f"{url}" == shown
    assert repr(url) == f"StoreURL({shown!r})"


def test_a_url_is_a_fixed_value() -> None:
    url = resolve_url("postgresql://u:p@h/db?a=b")
    assert len({url, resolve_url("postgresql://u:p@h/db?a=b")}) == 1
    with pytest.raises(AttributeError):
        url.scheme = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        url.options["a"] = "c"  # type: ignore[index]


@pytest.mark.parametrize(("text", "name"), [("memory://", ""), ("memory://one", "one"), ("memory://a%20b", "a b")])
def test_the_reference_backend_has_a_name_and_no_host(text: str, name: str) -> None:
    url = resolve_url(text)
    assert (url.scheme, url.database, url.hosts) == ("memory", name, ())
    assert str(url) == text
