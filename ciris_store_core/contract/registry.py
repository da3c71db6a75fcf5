"""Registry of backends: from a URL's scheme to the backend that serves it.

Only the plugin that the scheme names is ever imported, so a broken plugin affects no other.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

from ciris_store_core.contract import hookspecs
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, ENTRY_POINT_GROUP, BackendSpec
from ciris_store_core.errors import PluginError, UnknownScheme

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

ALLOWED_VARIABLE = "CIRIS_ALLOWED_BACKENDS"
CORE = "ciris-store-core"
BUILT_IN = {"memory": "ciris_store_core.inmemory"}
OWNERS = {"sqlite": "ciris-store-sqlite", "postgresql": "ciris-store-postgres", "postgres": "ciris-store-postgres"}
EXTRAS = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}


@dataclass(frozen=True, slots=True, order=True)
class InstalledPlugin:
    """A claim to a URL scheme. An installed plugin was not imported, so nothing says that it works."""

    scheme: str
    distribution: str
    version: str
    """Of the distribution; ``?`` where it is not known, empty for what was registered by hand."""


@dataclass(frozen=True, slots=True)
class _Claim:
    plugin: InstalledPlugin
    entry_point: EntryPoint


class Registry:
    """The backends that this process can open: the built-in one, the installed ones, those registered by hand.

    The schemes ``memory``, ``sqlite``, ``postgresql`` and ``postgres`` belong to this project's own distributions.
    """

    def __init__(self, group: str = ENTRY_POINT_GROUP, allow: Iterable[str] | None = None) -> None:
        """Look in the entry-point ``group``.

        Args:
            group: Name of the entry-point group.
            allow: The only distributions whose plugins may be imported. None takes the comma-separated names of the
                environment variable ``CIRIS_ALLOWED_BACKENDS``, and allows all where that is not set. The built-in
                backend, and those registered by hand, need no leave: their code runs already.
        """
        self._group = group
        self._allow = None if allow is None else frozenset(map(_normal, allow))
        self._registered: dict[str, BackendSpec] = {}

    def register(self, spec: BackendSpec) -> None:
        """Serve the schemes of ``spec`` from now on, without an installed distribution.

        Raises:
            PluginError: A scheme is taken or reserved, or the contract version does not fit. Nothing was registered.
        """
        _check_contract(spec.contract_version, spec.distribution)
        for scheme in spec.schemes:
            _check_owner(scheme, spec.distribution)
            if scheme in self._registered:
                raise _claimed_twice(scheme, [self._registered[scheme].distribution, spec.distribution])
        self._registered.update(dict.fromkeys(spec.schemes, spec))

    def installed(self) -> list[InstalledPlugin]:
        """Return the installed plugins by scheme and distribution, without importing any.

        A distribution that claims the scheme of the built-in backend is left out: it is never used.
        """
        plugins = [claim.plugin for claim in self._scan()[0] if claim.plugin.scheme not in BUILT_IN]
        plugins += [InstalledPlugin(scheme, CORE, _core_version()) for scheme in BUILT_IN]
        plugins += [InstalledPlugin(scheme, spec.distribution, "") for scheme, spec in self._registered.items()]
        return sorted(set(plugins))

    def spec_for(self, scheme: str) -> BackendSpec:
        """The backend for ``scheme``, importing its plugin and no other.

        Raises:
            UnknownScheme: No plugin serves it. The message says what is installed and what to install.
            PluginError: Its plugin cannot be used, or may not be.
        """
        if scheme in BUILT_IN:
            manager = _manager()
            manager.register(import_module(BUILT_IN[scheme]), name=scheme)
            return _spec_of(manager, scheme, CORE)
        claims, corrupt = self._scan(scheme)
        by_hand = self._registered.get(scheme)
        self._check_claims(scheme, [claim.plugin.distribution for claim in claims], by_hand)
        if by_hand is not None:
            return by_hand
        if not claims:
            raise self._unknown(scheme)
        self._check_allowed(scheme, claims[0].plugin.distribution)
        return self._load(claims[0], direct=corrupt)

    def _check_claims(self, scheme: str, names: list[str], by_hand: BackendSpec | None) -> None:
        # pluggy imports whichever it meets first on sys.path, so one claim too many is refused, also beside the owner.
        for name in names:
            _check_owner(scheme, name)
        names = names if by_hand is None else [*names, by_hand.distribution]
        if len({_normal(name) for name in names}) > 1:
            raise _claimed_twice(scheme, names)

    def _check_allowed(self, scheme: str, name: str) -> None:
        allowed = self._allow if self._allow is not None else _allowed_by_environment()
        if allowed is not None and _normal(name) not in allowed:
            raise PluginError(
                f"{name}, which serves {scheme}://, is not among the allowed backends "
                f"({', '.join(sorted(allowed)) or 'none'}). Add it to {ALLOWED_VARIABLE} if it should be."
            )

    def _scan(self, scheme: str | None = None) -> tuple[list[_Claim], bool]:
        """All claims (of one scheme), one per scheme and distribution, and whether some entry points are corrupt."""
        # Imported here: it costs 20 ms and is needed only when a store is opened.
        from importlib_metadata import distributions

        claims: dict[tuple[str, str], _Claim] = {}
        corrupt = False
        for distribution in distributions():
            try:
                entry_points = distribution.entry_points
            except Exception:  # Malformed metadata raises anything, and is not our plugin's fault.
                corrupt = True
                continue
            for entry_point in entry_points:
                # The claim reads the metadata of the distribution, which takes milliseconds each.
                if entry_point.group == self._group and scheme in (None, entry_point.name):
                    claim = _claim(distribution, entry_point)
                    # The same distribution can lie on sys.path twice; the first one is the one that gets imported.
                    claims.setdefault((entry_point.name, _normal(claim.plugin.distribution)), claim)
        return list(claims.values()), corrupt

    def _load(self, claim: _Claim, *, direct: bool) -> BackendSpec:
        scheme, name = claim.plugin.scheme, claim.plugin.distribution
        manager = _manager()
        try:
            if direct:
                # pluggy reads the entry points of all distributions and fails on the first malformed one.
                manager.register(claim.entry_point.load(), name=scheme)
            else:
                manager.load_setuptools_entrypoints(self._group, name=scheme)
            manager.check_pending()
        except (Exception, SystemExit) as error:
            raise _broken(scheme, claim.plugin, error) from error
        return _spec_of(manager, scheme, name)

    def _unknown(self, scheme: str) -> UnknownScheme:
        installed = sorted({plugin.scheme for plugin in self.installed()})
        close = difflib.get_close_matches(scheme, sorted({*installed, *OWNERS}), 1)
        wanted = f"{CORE}[{EXTRAS[scheme]}]" if scheme in EXTRAS else f"ciris-store-{scheme}"
        near = f"Did you mean {close[0]}://? If not, install" if close and scheme not in EXTRAS else "Install"
        return UnknownScheme(
            f"no installed backend serves {scheme}:// (installed: {', '.join(installed)}). "
            f"{near} one: pip install '{wanted}'"
        )


# --- the plugin -------------------------------------------------------------------------------


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _spec_of(manager: pluggy.PluginManager, scheme: str, name: str) -> BackendSpec:
    """Ask the one plugin of ``manager`` for its spec, and check it."""
    try:
        answers = manager.hook.ciris_store_backend()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the hook ciris_store_backend of {name} failed ({_named(error)}). Report it to its authors."
        ) from error
    if not answers:
        raise PluginError(
            f"{name} claims {scheme}:// but has no hook ciris_store_backend, or it returned None. "
            "Report it to its authors."
        )
    spec = answers[0]
    if not isinstance(spec, BackendSpec):
        raise PluginError(
            f"the hook ciris_store_backend of {name} returned {type(spec).__name__}, not a BackendSpec. "
            "Report it to its authors."
        )
    if scheme not in spec.schemes:
        raise PluginError(
            f"{name} claims {scheme}:// but its BackendSpec serves only {', '.join(spec.schemes)}. "
            "Report it to its authors."
        )
    _check_contract(spec.contract_version, name)
    return spec


def _broken(scheme: str, plugin: InstalledPlugin, error: BaseException) -> PluginError:
    return PluginError(
        f"{plugin.distribution} {plugin.version}, which serves {scheme}://, cannot be loaded ({_named(error)}); "
        f"other backends are not affected. Reinstall it, or report it to its authors."
    )


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# --- the rules --------------------------------------------------------------------------------


def _check_owner(scheme: str, name: str) -> None:
    owner = CORE if scheme in BUILT_IN else OWNERS.get(scheme)
    if owner is not None and _normal(name) != owner:
        raise PluginError(f"{name} claims {scheme}://, which only {owner} may serve. Uninstall {name}.")


def _claimed_twice(scheme: str, names: list[str]) -> PluginError:
    return PluginError(f"{scheme}:// is claimed by {' and by '.join(sorted(names))}. Uninstall all but one of them.")


def _check_contract(version: str, name: str, ours: str = CONTRACT_VERSION) -> None:
    """Accept our major version and the one before."""
    theirs, mine = int(version.split(".")[0]), int(ours.split(".")[0])
    if theirs > mine:
        raise PluginError(
            f"{name} implements contract {version}, and this {CORE} speaks {ours}. "
            f"Upgrade it (pip install --upgrade {CORE}), or install an older {name}."
        )
    if theirs < mine - 1:
        raise PluginError(
            f"{name} implements contract {version}, and this {CORE} accepts {mine - 1}.x and {mine}.x. "
            f"Upgrade the backend: pip install --upgrade {name}"
        )


def _allowed_by_environment() -> frozenset[str] | None:
    names = os.environ.get(ALLOWED_VARIABLE)
    # Set but empty allows none: a list that lost its content must not allow everything.
    return None if names is None else frozenset(_normal(name) for name in names.split(",") if name.strip())


# --- distributions ----------------------------------------------------------------------------


def _claim(distribution: Any, entry_point: EntryPoint) -> _Claim:
    name, version = _identity(distribution)
    return _Claim(InstalledPlugin(entry_point.name, name, version), entry_point)


def _identity(distribution: Any) -> tuple[str, str]:
    """Name and version; what is left of a half-removed distribution may have neither."""
    try:
        metadata = distribution.metadata  # each of its name and version would read it again
        return metadata["Name"] or "an unnamed distribution", metadata["Version"] or "?"
    except Exception:
        return f"an unnamed distribution in {distribution.locate_file('')}", "?"


def _core_version() -> str:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(CORE)
    except PackageNotFoundError:
        return "?"  # Run from a source tree that was never installed.


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
