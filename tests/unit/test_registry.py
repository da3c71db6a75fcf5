"""Finding the backend of a scheme, with real distributions on ``sys.path``, good and broken ones."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendSpec
from ciris_store_core.contract.registry import InstalledPlugin, Registry, _check_contract
from ciris_store_core.errors import InvalidArgument, InvalidURL, PluginError, UnknownScheme

GROUP = "ciris_store.backends"
ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


def plugin_source(scheme: str = "fake", version: str = CONTRACT_VERSION, answer: str | None = None) -> str:
    """A module with the hook, whose answer is a BackendSpec or the expression given."""
    spec = (
        f"BackendSpec('Fake', ({scheme!r},), lambda url, context: None, frozenset(), {version!r}, 'ciris-store-fake')"
    )
    return (
        "from ciris_store_core.contract.hookspecs import BackendSpec, hookimpl\n"
        "@hookimpl\n"
        "def ciris_store_backend():\n"
        f"    return {answer or spec}\n"
    )


class Site:
    """Installs distributions, each in a directory of its own at the front of ``sys.path``."""

    def __init__(self, root: Path, prepend: Callable[[str], None]) -> None:
        self.root, self.prepend, self.modules = root, prepend, set[str]()

    def install(
        self,
        name: str,
        source: str,
        scheme: str = "fake",
        *,
        version: str = "1.0.0",
        entry_points: str | None = None,
        metadata: bool = True,
    ) -> str:
        """Install one and return the name of its module."""
        number = next(_numbers)
        module, directory = f"registry_fake_{number}", self.root / str(number)
        info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (directory / f"{module}.py").write_text(source)
        (info / "entry_points.txt").write_text(entry_points or f"[{GROUP}]\n{scheme} = {module}\n")
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        self.modules.add(module)
        self.prepend(str(directory))
        return module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("CIRIS_ALLOWED_BACKENDS", raising=False)
    site = Site(tmp_path, monkeypatch.syspath_prepend)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


def refusal(scheme: str, registry: Registry | None = None) -> PluginError:
    with pytest.raises(PluginError) as caught:
        (registry or Registry()).spec_for(scheme)
    return caught.value


def spec(scheme: str = "hand", distribution: str = "my-app", **changes: Any) -> BackendSpec:
    fields: dict[str, Any] = {
        "name": "By hand",
        "schemes": (scheme,),
        "factory": lambda url, context: None,
        "capabilities": frozenset(),
        "contract_version": CONTRACT_VERSION,
        "distribution": distribution,
    }
    return BackendSpec(**{**fields, **changes})


# --- finding ----------------------------------------------------------------------------------


def test_an_installed_plugin_is_listed_without_being_imported(site: Site) -> None:
    module = site.install("Ciris_Store.Fake", plugin_source(), version="2.3")
    assert InstalledPlugin("fake", "Ciris_Store.Fake", "2.3") in Registry().installed()
    assert module not in sys.modules


def test_only_the_plugin_of_the_scheme_is_imported(site: Site) -> None:
    mine = site.install("ciris-store-fake", plugin_source())
    other = site.install("ciris-store-other", "raise RuntimeError('broken')", "other")
    found = Registry().spec_for("fake")
    assert (found.name, found.schemes) == ("Fake", ("fake",))
    assert mine in sys.modules
    assert other not in sys.modules


def test_another_group_is_another_world(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source())
    with pytest.raises(UnknownScheme):
        Registry(group="elsewhere").spec_for("fake")


def test_the_same_distribution_twice_on_the_path_is_one(site: Site) -> None:
    old = site.install("ciris-store-fake", plugin_source(), version="1.0")
    new = site.install("ciris_store.FAKE", plugin_source(), version="2.0")
    assert [plugin.version for plugin in Registry().installed() if plugin.scheme == "fake"] == ["2.0"]
    assert Registry().spec_for("fake").name == "Fake"
    assert new in sys.modules
    assert old not in sys.modules


def test_the_reference_backend_is_built_in() -> None:
    assert "memory" in Registry().spec_for("memory").schemes
    assert "memory" in {plugin.scheme for plugin in Registry().installed()}


def test_nothing_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys; from ciris_store_core.contract.registry import Registry; Registry().installed(); "
        "sys.exit(any(name in sys.modules for name in ('ciris_store_core.inmemory', 'sqlite3', 'psycopg2')))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


# --- unknown schemes --------------------------------------------------------------------------


def test_an_unknown_scheme_lists_what_is_installed_and_what_to_install(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source())
    with pytest.raises(UnknownScheme) as caught:
        Registry().spec_for("redis")
    message = str(caught.value)
    assert message.startswith("no installed backend serves redis:// (installed: ")
    assert message.endswith("). Install one: pip install 'ciris-store-redis'")
    assert "fake" in message
    assert "memory" in message
    assert isinstance(caught.value, InvalidURL)


@pytest.mark.parametrize(
    ("scheme", "advice"),
    [
        ("sqlite", "pip install 'ciris-store-core[sqlite]'"),
        ("postgresql", "pip install 'ciris-store-core[postgres]'"),
        ("postgres", "pip install 'ciris-store-core[postgres]'"),
        ("postgress", "Did you mean postgres://? If not, install one: pip install 'ciris-store-postgress'"),
        ("memroy", "Did you mean memory://?"),
    ],
)
def test_advice_for_schemes_that_we_know(scheme: str, advice: str) -> None:
    with pytest.raises(UnknownScheme) as caught:
        Registry(group="ciris_store.no_backends").spec_for(scheme)
    assert advice in str(caught.value)


# --- broken plugins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('broken driver')", RuntimeError),
        ("import a_module_that_nobody_has", ModuleNotFoundError),
        ("this is no Python", SyntaxError),
        ("import sys; sys.exit(3)", SystemExit),
    ],
)
def test_a_plugin_whose_import_breaks_is_named_with_its_cause(
    site: Site, source: str, cause: type[BaseException]
) -> None:
    site.install("ciris-store-fake", source, version="1.2")
    error = refusal("fake")
    assert str(error).startswith("ciris-store-fake 1.2, which serves fake://, cannot be loaded (")
    assert type(error.__cause__) is cause


@pytest.mark.parametrize("entry", ["fake = no_such_module", "fake = ", "fake = !!", "fake = json:no_such_name"])
def test_an_entry_point_that_leads_nowhere(site: Site, entry: str) -> None:
    site.install("ciris-store-fake", "", entry_points=f"[{GROUP}]\n{entry}\n")
    assert "ciris-store-fake 1.0.0, which serves fake://, cannot be loaded" in str(refusal("fake"))


def test_a_plugin_without_the_hook(site: Site) -> None:
    site.install("ciris-store-fake", "x = 1")
    assert str(refusal("fake")).startswith(
        "ciris-store-fake claims fake:// but has no hook ciris_store_backend, or it returned None"
    )


def test_a_plugin_with_a_misspelt_hook(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source().replace("ciris_store_backend", "ciris_store_backnd"))
    assert "unknown hook 'ciris_store_backnd'" in str(refusal("fake"))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("None", "has no hook ciris_store_backend, or it returned None"),
        ("{'name': 'Fake'}", "returned dict, not a BackendSpec"),
        ("BackendSpec", "returned type, not a BackendSpec"),
        ("1 / 0", "failed (ZeroDivisionError: division by zero)"),
        ("BackendSpec('Fake', 'fake', print, frozenset(), '1.0', 'x')", "schemes must be a tuple"),
    ],
)
def test_a_hook_that_gives_the_wrong_thing(site: Site, answer: str, message: str) -> None:
    site.install("ciris-store-fake", plugin_source(answer=answer))
    error = str(refusal("fake"))
    assert message in error
    assert "ciris-store-fake" in error


def test_a_plugin_that_does_not_serve_the_scheme_it_claims(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source("other"))
    assert "ciris-store-fake claims fake:// but its BackendSpec serves only other" in str(refusal("fake"))


@pytest.mark.parametrize("metadata", [True, False])
def test_malformed_entry_points_of_one_distribution_harm_no_other(site: Site, metadata: bool) -> None:
    mine = site.install("ciris-store-fake", plugin_source())
    site.install("broken", "", entry_points=f"[{GROUP}]\nno equals sign\n", metadata=metadata)
    assert Registry().spec_for("fake").name == "Fake"
    assert mine in sys.modules
    assert "fake" in {plugin.scheme for plugin in Registry().installed()}


def test_a_half_removed_distribution_is_listed_without_a_name(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source(), metadata=False)
    [plugin] = [plugin for plugin in Registry().installed() if plugin.scheme == "fake"]
    assert plugin.distribution.startswith("an unnamed distribution")
    assert Registry().spec_for("fake").name == "Fake"


# --- two claims, reserved schemes -------------------------------------------------------------


def test_a_scheme_that_two_distributions_claim_is_refused_naming_both(site: Site) -> None:
    modules = {site.install(name, plugin_source()) for name in ("ciris-store-fake", "another-fake")}
    assert str(refusal("fake")) == (
        "fake:// is claimed by another-fake and by ciris-store-fake. Uninstall all but one of them."
    )
    assert not modules & set(sys.modules)


@pytest.mark.parametrize("scheme", ["sqlite", "postgresql", "postgres"])
@pytest.mark.parametrize("owner_too", [True, False])
def test_our_schemes_cannot_be_shadowed(site: Site, scheme: str, owner_too: bool) -> None:
    if owner_too:
        site.install(f"ciris-store-{'sqlite' if scheme == 'sqlite' else 'postgres'}", plugin_source(scheme), scheme)
    thief = site.install("thief", plugin_source(scheme), scheme)
    assert str(refusal(scheme)).startswith(f"thief claims {scheme}://, which only ciris-store-")
    assert thief not in sys.modules


def test_our_schemes_are_served_by_our_distributions(site: Site) -> None:
    mine = site.install("ciris_store_sqlite", plugin_source("sqlite"), "sqlite")
    assert Registry().spec_for("sqlite").name == "Fake"
    assert mine in sys.modules


def test_the_reference_backend_cannot_be_shadowed(site: Site) -> None:
    thief = site.install("thief", plugin_source("memory"), "memory")
    assert Registry().spec_for("memory").distribution == "ciris-store-core"
    assert "thief" not in {plugin.distribution for plugin in Registry().installed()}
    assert thief not in sys.modules


# --- contract versions ------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.0", "2.9", "1.0", "1.2"])
def test_this_major_version_and_the_one_before_are_accepted(site: Site, version: str) -> None:
    site.install("ciris-store-fake", plugin_source(version=version))
    assert Registry().spec_for("fake").contract_version == version


def test_a_plugin_for_a_newer_contract_says_what_to_install(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source(version="3.0"))
    assert str(refusal("fake")) == (
        f"ciris-store-fake implements contract 3.0, and this ciris-store-core speaks {CONTRACT_VERSION}. "
        "Upgrade it (pip install --upgrade ciris-store-core), or install an older ciris-store-fake."
    )


def test_a_plugin_for_an_older_contract_says_what_to_install() -> None:
    _check_contract("3.9", "x", ours="4.0")
    with pytest.raises(PluginError) as caught:
        _check_contract("2.9", "ciris-store-fake", ours="4.0")
    assert str(caught.value) == (
        "ciris-store-fake implements contract 2.9, and this ciris-store-core accepts 3.x and 4.x. "
        "Upgrade the backend: pip install --upgrade ciris-store-fake"
    )


# --- the allow-list ---------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["Ciris_Store.Fake", "other, ciris-store-fake ,"])
def test_an_allowed_backend_is_imported(site: Site, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    site.install("ciris-store-fake", plugin_source())
    monkeypatch.setenv("CIRIS_ALLOWED_BACKENDS", names)
    assert Registry().spec_for("fake").name == "Fake"
    assert Registry(allow=names.split(",")).spec_for("fake").name == "Fake"


@pytest.mark.parametrize(("names", "shown"), [("ciris-store-postgres", "ciris-store-postgres"), ("", "none")])
def test_another_backend_is_refused_before_it_is_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch, names: str, shown: str
) -> None:
    module = site.install("ciris-store-fake", plugin_source())
    monkeypatch.setenv("CIRIS_ALLOWED_BACKENDS", names)
    assert str(refusal("fake")) == (
        f"ciris-store-fake, which serves fake://, is not among the allowed backends ({shown}). "
        "Add it to CIRIS_ALLOWED_BACKENDS if it should be."
    )
    assert module not in sys.modules


def test_the_argument_wins_over_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("ciris-store-fake", plugin_source())
    monkeypatch.setenv("CIRIS_ALLOWED_BACKENDS", "ciris-store-fake")
    assert "not among the allowed backends (none)" in str(refusal("fake", Registry(allow=[])))


# --- by hand ----------------------------------------------------------------------------------


def test_a_registered_backend_is_served_and_listed() -> None:
    registry, mine = Registry(allow=[]), spec()
    registry.register(mine)
    assert registry.spec_for("hand") is mine
    assert InstalledPlugin("hand", "my-app", "") in registry.installed()
    with pytest.raises(UnknownScheme):
        Registry().spec_for("hand")


def test_a_registered_scheme_that_a_distribution_claims_too_is_refused(site: Site) -> None:
    site.install("ciris-store-fake", plugin_source())
    registry = Registry()
    registry.register(spec("fake"))
    assert str(refusal("fake", registry)).startswith("fake:// is claimed by ciris-store-fake and by my-app")


def test_a_scheme_is_registered_once_and_all_or_nothing() -> None:
    registry = Registry()
    registry.register(spec("one"))
    with pytest.raises(PluginError, match="one:// is claimed by my-app and by your-app"):
        registry.register(spec(distribution="your-app", schemes=("two", "one")))
    with pytest.raises(UnknownScheme):
        registry.spec_for("two")


@pytest.mark.parametrize("scheme", ["memory", "sqlite", "postgres"])
def test_our_schemes_cannot_be_registered_by_others(scheme: str) -> None:
    with pytest.raises(PluginError, match=f"my-app claims {scheme}://, which only ciris-store-"):
        Registry().register(spec(scheme))


def test_a_backend_for_another_contract_cannot_be_registered() -> None:
    with pytest.raises(PluginError, match=r"my-app implements contract 9\.0"):
        Registry().register(spec(contract_version="9.0"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemes": "hand"}, "schemes must be a tuple"),
        ({"schemes": ()}, "schemes must be a tuple"),
        ({"schemes": ("Hand",)}, "schemes must be a tuple"),
        ({"schemes": ("a b",)}, "schemes must be a tuple"),
        ({"contract_version": "1"}, "contract_version must be"),
        ({"contract_version": 1.0}, "contract_version must be"),
        ({"factory": None}, "factory must be callable"),
    ],
)
def test_a_spec_that_cannot_be_right_is_refused_where_it_is_made(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        spec(**change)
