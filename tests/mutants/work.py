"""Faults of tasks, claims and thoughts."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from ciris_store_core.contract import ThoughtSelector
from ciris_store_core.errors import AlreadyExists, StaleFence
from ciris_store_core.models import TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import TaskQuery
from tests.mutants.planting import add, always, plant, raises_plain_conflict

# --- adding and getting -----------------------------------------------------------------------

_TABLES = {"tasks": "_tasks", "thoughts": "_thoughts", "correlations": "_table", "secrets": "_secrets"}
_IDS = {"tasks": "task_id", "thoughts": "thought_id", "correlations": "correlation_id", "secrets": "secret_id"}

for _store, _table in _TABLES.items():

    def _overwrites(self: Any, sound: Any, records: Any, table: str = _table, id: str = _IDS[_store]) -> None:
        for record in records:
            getattr(self, table).put(getattr(record, id), record)

    def _ignores(self: Any, sound: Any, records: Any, table: str = _table, id: str = _IDS[_store]) -> None:
        sound([record for record in records if getattr(record, id) not in getattr(self, table).rows])

    def _swallows(self: Any, sound: Any, records: Any) -> None:
        with suppress(AlreadyExists):
            sound(records)

    add(f"{_store}_add_overwrites", f"{_store}.add.conflict", (f"{_store}.add", _overwrites))
    add(f"{_store}_add_ignores_what_exists", f"{_store}.add.conflict", (f"{_store}.add", _ignores))
    add(f"{_store}_add_swallows_the_conflict", f"{_store}.add.conflict", (f"{_store}.add", _swallows))
    add(f"{_store}_add_raises_a_plain_conflict", f"{_store}.add.conflict", (f"{_store}.add", raises_plain_conflict))

    def _all_or_none(self: Any, sound: Any, ids: Any, *more: Any) -> Any:
        found = sound(ids, *more)
        return found if len(found) == len(ids) else []

    def _none_means_all(self: Any, sound: Any, ids: Any, *more: Any, table: str = _table) -> Any:
        return sound(ids or list(getattr(self, table).rows), *more)

    add(f"{_store}_get_is_all_or_none", f"{_store}.get.existing", (f"{_store}.get", _all_or_none))
    add(f"{_store}_get_of_nothing_is_everything", f"{_store}.get.existing", (f"{_store}.get", _none_means_all))

for _store in ("tasks", "thoughts", "correlations"):

    def _first_999(self: Any, sound: Any, records: Any) -> None:
        sound(records[:999])

    add(f"{_store}_add_stores_999_at_most", f"{_store}.add.batch", (f"{_store}.add", _first_999))
    add(f"{_store}_get_returns_999_at_most", f"{_store}.add.batch", (f"{_store}.get", lambda self, sound, ids, *more: sound(ids[:999], *more)))
    add(f"{_store}_delete_takes_999_at_most", f"{_store}.add.batch", (f"{_store}.delete", lambda self, sound, ids: sound(ids[:999])))

for _store in ("tasks", "thoughts"):
    add(f"{_store}_get_ignores_the_owner", f"{_store}.get.existing", (f"{_store}.get", lambda self, sound, ids, owner: sound(ids, None)))
    add(
        f"{_store}_update_ignores_the_owner", f"{_store}.update.owner",
        (f"{_store}.update", lambda self, sound, id, changes, owner, *fence: sound(id, changes, None, *fence)),
    )  # fmt: skip
    add(
        f"{_store}_update_reports_success_always", f"{_store}.update.owner",
        (f"{_store}.update", lambda self, sound, *arguments: sound(*arguments) or True),
    )  # fmt: skip
    add(
        f"{_store}_update_touches_every_row", f"{_store}.update.each",
        (f"{_store}.update", lambda self, sound, id, changes, *more: max([sound(each, changes, *more) for each in (id, "b")])),
    )  # fmt: skip


@plant("tasks.get.existing", "tasks.get")
def owners_have_no_case(self: Any, sound: Any, ids: Any, owner: Any) -> Any:
    found = sound(ids, None)
    return [each for each in found if owner is None or each.agent_occurrence_id.lower() == owner.lower()]


@plant("thoughts.add.without_task", "thoughts.add")
def thoughts_need_a_task(self: Any, sound: Any, thoughts: Any) -> None:
    sound([each for each in thoughts if each.source_task_id in self._tasks.rows])


@plant("thoughts.add.needs_task thoughts.add.needs_task.race", "thoughts.add")
def thoughts_never_need_their_task(self: Any, sound: Any, thoughts: Any, needs_task: bool = False) -> None:
    sound(thoughts)


@plant("thoughts.add.needs_task", "thoughts.add")
def only_the_first_thought_needs_its_task(self: Any, sound: Any, thoughts: Any, needs_task: bool = False) -> None:
    sound(thoughts[:1], needs_task)
    sound(thoughts[1:])


@plant("thoughts.add.needs_task.race", "thoughts.add")
def a_task_that_was_there_is_there(self: Any, sound: Any, thoughts: Any, needs_task: bool = False) -> None:
    known = vars(self.lab).setdefault("known_tasks", set())
    known.update(self._tasks.rows)
    sound(thoughts, needs_task and not known.issuperset(each.source_task_id for each in thoughts))


@plant("tasks.add_or_get", "tasks.add_or_get")
def add_or_get_overwrites(self: Any, sound: Any, task: Any) -> Any:
    created = task.task_id not in self._tasks.rows
    self._tasks.put(task.task_id, task)
    return task, created


add("add_or_get_returns_what_was_given", "tasks.add_or_get", ("tasks.add_or_get", lambda self, sound, task: (task, sound(task)[1])))
add("add_or_get_always_says_added", "tasks.add_or_get tasks.add_or_get.race", ("tasks.add_or_get", lambda self, sound, task: (sound(task)[0], True)))


def _remembering(self: Any, sound: Any, tasks: Any) -> None:
    vars(self.lab).setdefault("first", {}).update({row.task_id: row for row in tasks})
    sound(tasks)


def _the_index_of_contexts_is_not_updated(self: Any, sound: Any, query: Any) -> Any:
    old = {key: row.context and row.context.correlation_id for key, row in self.lab.first.items()}
    found = sound(replace(query, correlation_id=None))
    return [row for row in found if query.correlation_id in (None, old.get(row.task_id))]


add("the_index_of_contexts_is_not_updated", "tasks.update.found", ("tasks.add", _remembering), ("tasks._matching", _the_index_of_contexts_is_not_updated))


# --- fences -----------------------------------------------------------------------------------

add("the_fence_is_ignored", "tasks.update.fence processes.take_over.zombie", ("tasks.update", lambda self, sound, id, changes, owner, fence: sound(id, changes, owner, None)))
add("hold_ignores_the_fence", "tasks.lock_claim.fence", ("tasks.lock_claim", always(None)))


@plant("tasks.update.fence tasks.lock_claim.fence", "tasks.update", "tasks.lock_claim")
def an_older_fence_is_refused_a_newer_one_not(self: Any, sound: Any, id: Any, *more: Any) -> Any:
    fence, task = more[-1], self._tasks.rows.get(id)
    if task is not None and fence is not None and fence > task.fence:
        return True
    return sound(id, *more)


@plant("tasks.update.fence", "tasks.update")
def a_stale_fence_is_false(self: Any, sound: Any, *arguments: Any) -> Any:
    try:
        return sound(*arguments)
    except StaleFence:
        return False


@plant("tasks.lock_claim.fence", "tasks.lock_claim")
def a_task_that_is_gone_can_be_held(self: Any, sound: Any, id: str, fence: int) -> None:
    if id in self._tasks.rows:
        sound(id, fence)


@plant("tasks.lock_claim.fence", "tasks.lock_claim")
def holding_moves_the_fence(self: Any, sound: Any, id: str, fence: int) -> None:
    sound(id, fence)
    self._tasks.change(id, fence=fence + 1)


# --- claims -----------------------------------------------------------------------------------


def _afterwards(method: str, **fields: Any) -> Any:
    """Replace fields of the tasks that were claimed, released or transferred."""

    def change(self: Any, sound: Any, *arguments: Any) -> Any:
        before = dict(self._tasks.rows)
        answer = sound(*arguments)
        moved = [key for key, row in self._tasks.rows.items() if before[key] is not row]
        for key in moved:
            self._tasks.change(key, **{name: make(before[key]) for name, make in fields.items()})
        return self._tasks.pick(each.task_id for each in answer) if isinstance(answer, list) else answer

    return (f"tasks.{method}", change)


for _method in ("claim_next", "release", "transfer"):
    _clause = f"tasks.{_method}.fields"
    add(f"{_method}_leaves_the_fence", _clause, _afterwards(_method, fence=lambda task: task.fence))
    add(f"{_method}_moves_the_fence_by_two", _clause, _afterwards(_method, fence=lambda task: task.fence + 2))
    add(f"{_method}_resets_the_fence", _clause, _afterwards(_method, fence=lambda task: 1))
    add(f"{_method}_leaves_updated_at", _clause, _afterwards(_method, updated_at=lambda task: task.updated_at))
    add(f"{_method}_loses_metadata", _clause, _afterwards(_method, metadata=lambda task: {}))
for _field in ("claimed_by", "claimed_at", "claimed_from", "status"):
    _same = {_field: lambda task, name=_field: getattr(task, name)}
    add(f"claim_next_leaves_{_field}", "tasks.claim_next.fields", _afterwards("claim_next", **_same))
    add(f"give_back_leaves_{_field}", "tasks.release.fields tasks.release.again" if _field == "status" else "tasks.release.fields", _afterwards("release", **_same))
add("transfer_makes_active", "tasks.transfer.fields", _afterwards("transfer", status=lambda task: TaskStatus.PENDING))
add("transfer_loses_the_shared_mark", "tasks.transfer.fields", _afterwards("transfer", shared_type=lambda task: None))
add("give_back_goes_to_the_default_pool", "tasks.release.fields", _afterwards("release", agent_occurrence_id=lambda task: "default"))
add("claim_next_returns_what_was", "tasks.claim_next.fields", ("tasks.claim_next", lambda self, sound, *arguments: [each.replaced(fence=each.fence - 1) for each in sound(*arguments)]))


def _claim_in(order: Any) -> Any:
    def claim(self: Any, sound: Any, worker: str, queue: str, limit: int, now: Any) -> Any:
        waiting = self._matching(TaskQuery(occurrence_id=queue, statuses=(TaskStatus.PENDING,)))
        chosen = [task.task_id for task in sorted(waiting, key=order)[:limit]]
        hidden = {key: row for key, row in self._tasks.rows.items() if key not in chosen}
        self._tasks.delete(list(hidden))
        sound(worker, queue, limit, now)
        for key, row in hidden.items():
            self._tasks.put(key, row)
        return self._tasks.pick(chosen)

    return ("tasks.claim_next", claim)


add("claims_the_lowest_priority_first", "tasks.claim_next.order", _claim_in(lambda task: (task.priority, task.created_at, task.task_id)))
add("claims_the_youngest_first", "tasks.claim_next.order", _claim_in(lambda task: (-task.priority, -task.created_at.timestamp(), task.task_id)))
add("claims_by_age_alone", "tasks.claim_next.order", _claim_in(lambda task: (task.created_at, task.task_id)))
add("claims_ties_in_order_of_arrival", "tasks.claim_next.order", _claim_in(lambda task: (-task.priority, task.created_at)))
add("claims_ties_in_order_of_a_locale", "tasks.claim_next.order", _claim_in(lambda task: (-task.priority, task.created_at, task.task_id.casefold())))
for _method, _clauses in (("claim_next", "tasks.claim_next.order"), ("release", "tasks.release.order")):
    add(f"{_method}_returns_them_in_no_order", _clauses, (f"tasks.{_method}", lambda self, sound, *arguments: sound(*arguments)[::-1]))
add("claims_one_more", "tasks.claim_next.order", ("tasks.claim_next", lambda self, sound, worker, queue, limit, now: sound(worker, queue, limit + 1, now)))
add("claims_whatever_is_unfinished", "tasks.claim_next.queue", ("tasks._matching", lambda self, sound, query: sound(replace(query, statuses=(*query.statuses, TaskStatus.DEFERRED)))))
add("claims_from_every_pool", "tasks.claim_next.queue", ("tasks._matching", lambda self, sound, query: sound(replace(query, occurrence_id=None))))
add("a_claim_takes_no_thoughts_along", "tasks.claim_next.thoughts tasks.release.thoughts", ("tasks._unfinished_thoughts", always([])))


def _thoughts(choose: Any) -> Any:
    return ("tasks._unfinished_thoughts", lambda self, sound, task: [each for each in self._thoughts.rows.values() if choose(task, each)])


_OPEN = (ThoughtStatus.PENDING, ThoughtStatus.PROCESSING)
for _name, _choose in {
    "finished_thoughts": lambda task, each: each.source_task_id == task.task_id and each.agent_occurrence_id == task.agent_occurrence_id,
    "thoughts_of_others": lambda task, each: each.source_task_id == task.task_id and each.status in _OPEN,
    "thoughts_of_other_tasks": lambda task, each: each.agent_occurrence_id == task.agent_occurrence_id and each.status in _OPEN,
    "pending_thoughts_only": lambda task, each: each.source_task_id == task.task_id and each.agent_occurrence_id == task.agent_occurrence_id and each.status == ThoughtStatus.PENDING,
}.items():
    add(f"claim_and_give_back_take_{_name}", "tasks.claim_next.thoughts tasks.release.thoughts", _thoughts(_choose))


@plant("tasks.release.thoughts", "tasks.release")
def processing_thoughts_stay_so(self: Any, sound: Any, *arguments: Any) -> Any:
    processing = [key for key, row in self._thoughts.rows.items() if row.status == ThoughtStatus.PROCESSING]
    given = sound(*arguments)
    for key in processing:
        self._thoughts.change(key, status=ThoughtStatus.PROCESSING)
    return given


add("gives_back_finished_work", "tasks.release.which", ("tasks._matching", lambda self, sound, query: sound(replace(query, statuses=(*query.statuses, TaskStatus.COMPLETED)))))
add("gives_back_work_of_others", "tasks.release.which", ("tasks._matching", lambda self, sound, query: sound(replace(query, occurrence_id=None))))
add("gives_back_work_of_the_living", "tasks.release.dead processes.take_over.task", ("tasks._matching", lambda self, sound, query: sound(replace(query, owner_dead_at=None))))
add("gives_back_no_pending_work", "tasks.release.which", ("tasks._matching", lambda self, sound, query: sound(replace(query, statuses=(TaskStatus.ACTIVE,)))))
add("gives_back_one_more", "tasks.release.order", ("tasks.release", lambda self, sound, owner, now, limit: sound(owner, now, limit + 1)))


@plant("tasks.release.which", "tasks.release")
def gives_back_what_was_never_claimed(self: Any, sound: Any, owner: Any, now: Any, limit: int) -> Any:
    for key, row in list(self._tasks.rows.items()):
        if row.claimed_from is None and row.agent_occurrence_id == owner:
            self._tasks.change(key, claimed_from="default")
    return sound(owner, now, limit)


@plant("tasks.release.dead", "tasks.release")
def the_unregistered_count_as_alive(self: Any, sound: Any, owner: Any, now: Any, limit: int) -> Any:
    known = set(self._tables.occurrences.rows)
    hidden = {key: row for key, row in self._tasks.rows.items() if owner is None and row.agent_occurrence_id not in known}
    self._tasks.delete(list(hidden))
    given = sound(owner, now, limit)
    for key, row in hidden.items():
        self._tasks.put(key, row)
    return given


add("what_was_given_back_is_not_claimed_again", "tasks.release.again", _afterwards("release", status=lambda task: TaskStatus.DEFERRED))
add("gives_back_twice", "tasks.release.race", ("tasks.release", lambda self, sound, *arguments: sound(*arguments) or [each for each in self._tasks.pick(list(self._tasks.rows)) if each.claimed_from is None]))


@plant("tasks.transfer.owner tasks.transfer.race", "tasks.transfer")
def transfers_from_anybody(self: Any, sound: Any, ids: Any, source: str, target: str, now: Any) -> int:
    found = [each for each in ids if each in self._tasks.rows]
    for each in found:
        self._tasks.change(each, agent_occurrence_id=target, updated_at=now, fence=self._tasks.rows[each].fence + 1)
    return len(found)


add("transfer_counts_what_was_asked", "tasks.transfer.owner", ("tasks.transfer", lambda self, sound, ids, *more: sound(ids, *more) and len(ids)))


@plant("tasks.transfer.thoughts", "tasks.transfer")
def a_transfer_takes_thoughts_along(self: Any, sound: Any, ids: Any, source: str, target: str, now: Any) -> Any:
    for key, row in list(self._thoughts.rows.items()):
        if row.source_task_id in ids:
            self._thoughts.change(key, agent_occurrence_id=target)
    return sound(ids, source, target, now)


# --- deleting tasks ---------------------------------------------------------------------------


@plant("tasks.delete.cascade", "tasks.delete")
def deleting_tasks_leaves_thoughts(self: Any, sound: Any, ids: Any) -> Any:
    kept = dict(self._thoughts.rows)
    count = sound(ids)
    for key, row in kept.items():
        self._thoughts.put(key, row)
    return count


@plant("tasks.delete.cascade", "tasks.delete")
def deleting_tasks_leaves_thoughts_of_others(self: Any, sound: Any, ids: Any) -> Any:
    kept = {key: row for key, row in self._thoughts.rows.items() if row.agent_occurrence_id != "default"}
    count = sound(ids)
    for key, row in kept.items():
        self._thoughts.put(key, row)
    return count


@plant("tasks.delete.cascade", "tasks._with_descendants")
def deleting_tasks_takes_children_only(self: Any, sound: Any, ids: Any) -> Any:
    top = set(ids)
    return top | {row.task_id for row in self._tasks.rows.values() if row.parent_task_id in top}


add("deleting_tasks_leaves_children", "tasks.delete.cascade", ("tasks._with_descendants", lambda self, sound, ids: set(ids)))
add("deleting_tasks_counts_what_was_asked", "tasks.delete.cascade tasks.delete.overlap", ("tasks.delete", lambda self, sound, ids: sound(ids) and len(ids)))
add("deleting_nothing_deletes_all", "tasks.delete.cascade", ("tasks.delete", lambda self, sound, ids: sound(ids or list(self._tasks.rows))))
add("deleting_takes_each_task_alone", "tasks.delete.overlap", ("tasks.delete", lambda self, sound, ids: sum(len(self._with_descendants([each])) for each in ids) if sound(ids) else 0))


@plant("tasks.delete.deep", "tasks._with_descendants")
def descendants_to_a_depth_of_100(self: Any, sound: Any, ids: Any) -> Any:
    found = level = set(ids)
    for _ in range(100):
        level = {row.task_id for row in self._tasks.rows.values() if row.parent_task_id in level} - found
        found = found | level
    return found


# --- orphans ----------------------------------------------------------------------------------

add("a_failed_parent_makes_no_orphan", "tasks.find.orphaned", ("tasks._is_orphan", lambda self, sound, task: task.parent_task_id is not None and task.parent_task_id not in self._tasks.rows))
add("a_task_without_parent_is_an_orphan", "tasks.find.orphaned", ("tasks._is_orphan", lambda self, sound, task: task.parent_task_id is None or sound(task)))
add("a_thought_of_a_failed_task_is_an_orphan", "thoughts.find.orphaned", ("thoughts._matching", lambda self, sound, query: [row for row in sound(replace(query, orphaned=False)) if not query.orphaned or getattr(self._tasks.rows.get(row.source_task_id), "status", None) in (None, TaskStatus.FAILED)]))
add("a_thought_of_any_owner_of_an_active_task", "thoughts.find.active_tasks", ("thoughts._task_is_active", lambda self, sound, thought: getattr(self._tasks.rows.get(thought.source_task_id), "status", None) == TaskStatus.ACTIVE))
add("shared_tasks_are_those_of_the_namespace", "tasks.find.shared", ("tasks._matching", lambda self, sound, query: [row for row in sound(replace(query, only_shared=False)) if not query.only_shared or row.agent_occurrence_id == "__shared__"]))
add("only_a_pending_thought_is_a_seed", "tasks.find.needs_seed_thought", ("tasks._matching", lambda self, sound, query: [row for row in sound(replace(query, needs_seed_thought=False)) if not query.needs_seed_thought or not any(each.source_task_id == row.task_id and each.status == ThoughtStatus.PENDING for each in self._thoughts.rows.values())]))

# --- thoughts ---------------------------------------------------------------------------------


def _retry(**wrong: Any) -> Any:
    def retry(self: Any, sound: Any, id: str, owner: Any, most: int, now: Any) -> Any:
        stored = self._thoughts.rows.get(id)
        answer = sound(id, owner, most, now)
        if answer and stored is not None:
            self._thoughts.change(id, **{name: make(stored) for name, make in wrong.items()})
        return answer

    return ("thoughts.retry", retry)


add("a_retry_does_not_count", "thoughts.retry", _retry(retry_count=lambda thought: thought.retry_count))
add("a_retry_leaves_the_status", "thoughts.retry thoughts.retry.race", _retry(status=lambda thought: thought.status))
add("a_retry_leaves_updated_at", "thoughts.retry", _retry(updated_at=lambda thought: thought.updated_at))
add("a_retry_escalates", "thoughts.retry", _retry(escalation_level=lambda thought: 9))
add("a_retry_has_a_bound_one_higher", "thoughts.retry.refused", ("thoughts.retry", lambda self, sound, id, owner, most, now: sound(id, owner, most + 1, now)))
add("a_retry_has_a_bound_one_lower", "thoughts.retry", ("thoughts.retry", lambda self, sound, id, owner, most, now: sound(id, owner, most - 1, now)))
add("a_retry_by_anybody", "thoughts.retry.refused", ("thoughts.retry", lambda self, sound, id, owner, most, now: sound(id, None, most, now)))


@plant("thoughts.retry.not_failed", "thoughts.retry")
def whatever_is_finished_is_retried(self: Any, sound: Any, id: str, owner: Any, most: int, now: Any) -> Any:
    if id in self._thoughts.rows and self._thoughts.rows[id].status != ThoughtStatus.PENDING:
        self._thoughts.change(id, status=ThoughtStatus.FAILED)
    return sound(id, owner, most, now)


add("an_escalation_by_anybody", "thoughts.escalate", ("thoughts.escalate", lambda self, sound, id, owner, now: sound(id, None, now)))
add("an_escalation_sets_one", "thoughts.escalate thoughts.escalate.race", ("thoughts.escalate", lambda self, sound, id, owner, now: self.update(id, {"escalation_level": 1, "updated_at": now}, owner)))
add("an_escalation_leaves_updated_at", "thoughts.escalate", ("thoughts.escalate", lambda self, sound, id, owner, now: sound(id, owner, self._thoughts.rows[id].updated_at if id in self._thoughts.rows else now)))
for _store in ("thoughts", "correlations"):
    add(f"deleting_{_store}_counts_what_was_asked", f"{_store}.delete.count", (f"{_store}.delete", lambda self, sound, ids: sound(ids) and len(ids)))
    add(f"deleting_{_store}_does_nothing", f"{_store}.delete.count", (f"{_store}.delete", lambda self, sound, ids: sum(1 for each in ids if each == "a")))

_TRANSFERS = {
    "takes_from_anybody": lambda selector, thought, source: True,
    "takes_only_the_first": lambda selector, thought, source: thought.agent_occurrence_id == source and thought.thought_id == "a",
}
for _name, _choose in _TRANSFERS.items():  # type: ignore[assignment]

    def _transfer(self: Any, sound: Any, selector: Any, source: str, target: str, now: Any, choose: Any = _choose) -> int:
        found = [row for row in self._thoughts.rows.values() if (row.source_task_id == selector.task_id or row.thought_id in selector.thought_ids) and choose(selector, row, source)]
        for row in found:
            self._thoughts.change(row.thought_id, agent_occurrence_id=target, updated_at=now)
        return len(found)

    add(f"a_transfer_of_thoughts_{_name}", "thoughts.transfer", ("thoughts.transfer", _transfer))
add("a_transfer_of_no_thoughts_moves_all", "thoughts.transfer", ("thoughts.transfer", lambda self, sound, selector, *more: sound(selector if selector.task_id or selector.thought_ids else ThoughtSelector(task_id="t"), *more)))
add("a_transfer_of_thoughts_resets_them", "thoughts.transfer", ("thoughts.transfer", lambda self, sound, selector, source, target, now: sum(self._thoughts.change(key, metadata={}) or 0 for key in list(self._thoughts.rows)) + sound(selector, source, target, now)))
