"""Matrix of reports as one self-contained HTML page: backends side by side, clause by clause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby

from ciris_store_core.conformance.levels import Level
from ciris_store_core.conformance.results import CapabilityResult, ClauseResult, LevelResult, Report, Status, Verdict

MARKS = {
    Status.PASSED: ("\u2713", "holds"),
    Status.FAILED: ("\u2717", "fails"),
    Status.NOT_RUN: ("\u2013", "not run"),
    Status.NOT_APPLICABLE: ("\u00b7", "does not apply"),
    Status.WAIVED: ("w", "waived"),
}
VERDICTS = {
    Verdict.REACHED: "reached",
    Verdict.FAILED: "not reached: a clause fails",
    Verdict.INCOMPLETE: "not reached: not all ran",
    Verdict.NOT_RUN: "not run",
    Verdict.NOT_APPLICABLE: "does not apply",
}


def to_html(reports: Sequence[Report]) -> str:
    """Return the page."""
    folder = files(__package__)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CIRIS Store: conformance of {escape(", ".join(each.backend.name for each in reports))}</title>
<style>
{(folder / "matrix.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>Conformance</h1>
<p>Results of each backend for each clause of the contract of CIRIS Store. A level is reached if every clause that
applies ran and holds. A clause that did not run counts as not held.</p>
</header>
<main>
<section class="cards">{"".join(map(_card, reports))}</section>
{_filters()}
<table class="matrix">
<thead><tr><th scope="col">clause</th><th scope="col">level</th>{_heads(reports)}</tr></thead>
{"".join(_modules(reports))}
</table>
</main>
<script>
{(folder / "matrix.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


# --- one card for each backend ----------------------------------------------------------------


def _card(report: Report) -> str:
    backend = report.backend
    server = str(backend.info.get("server_version", ""))
    problem = f'<p class="problem">{escape(report.problem)}</p>' if report.problem else ""
    return f"""
<article class="card">
<h2>{escape(backend.name)} <small>{escape(server.removeprefix(backend.name).strip())}</small></h2>
<p class="summary {"good" if report.ok else "bad"}">{escape(report.summary)}</p>
{problem}
<ul class="levels">{"".join(map(_level, report.levels))}</ul>
<p class="capabilities">{"".join(map(_capability, report.capability_results()))}</p>
{_waivers(report)}
<dl>{_facts(report)}</dl>
</article>"""


def _level(result: LevelResult) -> str:
    held = result.counts[Status.PASSED] + result.counts[Status.WAIVED]
    share = 100 * held / result.required if result.required else 0
    waived = f", {result.counts[Status.WAIVED]} waived" if result.counts[Status.WAIVED] else ""
    name = result.level.value.replace("_", "-")
    return (
        f'<li class="{result.verdict}" title="{escape(result.level.promise)}"><b>{escape(name)}</b>'
        f'<span class="bar"><i style="width:{share:.1f}%"></i></span>'
        f"<span class='count'>{result.counts[Status.PASSED]}/{result.required}</span>"
        f"<em>{escape(VERDICTS[result.verdict] + waived)}</em></li>"
    )


def _capability(result: CapabilityResult) -> str:
    if result.broken:
        kind, title = "broken", f"{result.broken} clauses about it fail"
    elif result.declared:
        kind, title = "declared", f"declared; {result.checked} clauses about it ran"
    else:
        kind, title = "absent", "not declared"
    name = result.capability.value.replace("_", " ")
    return f'<span class="{kind}" title="{escape(title)}">{escape(name)}</span> '


def _waivers(report: Report) -> str:
    waived = [each for each in report.clauses if each.status == Status.WAIVED]
    items = "".join(f"<li><code>{escape(each.id)}</code> {escape(each.why)}</li>" for each in waived)
    return f'<ul class="waivers">{items}</ul>' if waived else ""


def _facts(report: Report) -> str:
    facts = {
        "store": report.backend.url,
        "plugin": f"{report.backend.distribution} {report.backend.version}".strip(),
        "contract": report.contract_version,
        "suite": report.suite_version,
        "selection": report.selection,
        "retries": str(report.retries),
        "Python": report.python,
        "run": f"{report.started_at.replace('T', ' ').replace('+00:00', ' UTC')}, {report.seconds:.0f} s",
    }
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)


# --- the matrix -------------------------------------------------------------------------------


def _filters() -> str:
    levels = "".join(f'<button data-level="{each}">{each.replace("_", "-")}</button>' for each in Level)
    marks = " ".join(f'<span class="{status}">{mark}</span> {name}' for status, (mark, name) in MARKS.items())
    return (
        f'<nav><button data-level="" class="on">all levels</button>{levels}'
        '<label><input type="checkbox" id="open"> only what does not hold</label>'
        '<input type="search" id="search" placeholder="find a clause" aria-label="find a clause">'
        f'<p class="legend">{marks}</p></nav>'
    )


def _heads(reports: Iterable[Report]) -> str:
    return "".join(f'<th scope="col" class="backend">{escape(each.backend.name)}</th>' for each in reports)


def _modules(reports: Sequence[Report]) -> Iterable[str]:
    by_report = [{clause.id: clause for clause in report.clauses} for report in reports]
    known = {clause.id: clause for clauses in by_report for clause in clauses.values()}
    ordered = sorted(known.values(), key=lambda clause: (clause.module, clause.id))
    for module, clauses in groupby(ordered, key=lambda clause: clause.module):
        rows = "".join(_row(clause, [each.get(clause.id) for each in by_report]) for clause in clauses)
        head = f'<tr class="module"><th colspan="{len(reports) + 2}" scope="rowgroup">{escape(module)}</th></tr>'
        yield f"<tbody>{head}{rows}</tbody>\n"


def _row(clause: ClauseResult, results: Sequence[ClauseResult | None]) -> str:
    holds = all(each is not None and each.status in (Status.PASSED, Status.NOT_APPLICABLE) for each in results)
    level = clause.level.value
    return (
        f'<tr data-level="{level}" data-holds="{int(holds)}">'
        f'<th scope="row"><code>{escape(clause.id)}</code><p>{escape(clause.loses)}</p></th>'
        f'<td class="level">{level.replace("_", "-")}</td>{"".join(map(_cell, results))}</tr>\n'
    )


def _cell(result: ClauseResult | None) -> str:
    if result is None:
        return '<td class="not_run" title="not known to this run\'s suite">?</td>'
    mark, name = MARKS[result.status]
    if result.status == Status.FAILED:
        return f'<td class="failed"><details><summary>{mark}</summary><pre>{escape(result.why)}</pre></details></td>'
    return f'<td class="{result.status}" title="{escape(result.why or name)}">{mark}</td>'
