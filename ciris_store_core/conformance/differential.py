"""Differential tests: random scripts run on a backend and on the reference, and every result is compared.

For a backend of your own::

    def test_differential(tmp_path):
        numbers = itertools.count()
        check_scripts(lambda: UrlHarness(f"acme:///{tmp_path}/{next(numbers)}"), examples=300)

A failing script is shortened, and the error contains it as Python that can be pasted into a file and run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ciris_store_core.conformance import replay as names
from ciris_store_core.conformance.backend_pair import Disagreement, Pair, Unusable, replay
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.random_scripts import Step, random_script, source
from ciris_store_core.conformance.shortening import shortest

HEADER = """\
from ciris_store_core.conformance.replay import *


def script(store):
"""
FOOTER = """

replay(script, "memory://")  # replace by the URL of an empty store
"""

Factory = Callable[[], Harness]
"""Function that returns a harness over a new, empty store."""


def check_scripts(make: Factory, *, examples: int = 300, steps: int = 60, repeatable: bool = True) -> None:
    """Run random scripts. Raise ``Disagreement`` with the shortest script found whose results differ.

    Args:
        make: Function that returns a harness over an empty store for each script, which is cleaned up afterwards.
        examples: Number of scripts.
        steps: Maximum number of steps of a script.
        repeatable: If True, run the same scripts every time; if False, new ones.
    """

    # Hypothesis only provides the random numbers. It knows nothing of steps: most scripts that it generated would do
    # little, and shrinking one would take a minute.
    @settings(
        max_examples=examples,
        derandomize=repeatable,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def run(random: Random) -> None:
        failing[:] = random_script(random, random.randint(1, steps))
        run_script(make(), failing)

    failing: list[Step] = []
    _run_and_shorten(run, make, failing)


def _run_and_shorten(run: Callable[[], None], make: Factory, steps: Sequence[Step]) -> None:
    try:
        run()
        return
    except Disagreement as error:
        first = error
    run_script(make(), shortest(steps, partial(_fails, make)))
    raise Disagreement(f"the backend does not always answer the same; this happened once, and then no more:\n{first}")


def _fails(make: Factory, steps: Sequence[Step]) -> bool:
    try:
        run_script(make(), steps)
    except Disagreement:
        return True
    except Unusable:  # what a call cannot do without was left out
        return False
    return False


def check_long_script(makes: Sequence[Factory], *, steps: int = 2000, seed: int = 0) -> None:
    """Run one long script, determined by the seed, on several backends, each beside the reference."""
    random = Random(seed)
    script = random_script(random, steps)
    for make in makes:
        _run_and_shorten(partial(_run_one, make, script), make, script)


def _run_one(make: Factory, steps: Sequence[Step]) -> None:
    run_script(make(), steps)


def run_script(harness: Harness, steps: Sequence[Step]) -> None:
    """Run a script on the harness's store and on the reference. A ``Disagreement`` contains the script."""
    body = source(steps)
    try:
        replay(compiled(body), harness)
    except Disagreement as error:
        raise Disagreement(f"{error}\nin the script\n\n{HEADER}{body}{FOOTER}") from None
    except Unusable:
        raise
    except Exception as error:
        raise Disagreement(f"{error!r} ended the script\n\n{HEADER}{body}{FOOTER}") from error


def compiled(body: str) -> Callable[[Pair], None]:
    """Return the function with this body, compiled as the printed text would be."""
    space: dict[str, Any] = {name: getattr(names, name) for name in names.__all__}
    exec(f"def script(store):\n{body}", space)
    made: Callable[[Pair], None] = space["script"]
    return made
