"""Validation of records before a write.

The types of a record's fields were validated when it was made. The validator checks the rest: the length of ids, NUL
and lone surrogates in texts, and the content of JSON payloads, which callers can change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.base import Id, JsonObject, Record, Text, describe, to_utc, utc_now
from ciris_store_core.models.correlations import Tags
from ciris_store_core.secrets.crypto import SecretOwner
from ciris_store_core.secrets.redaction import ExtractedSecrets, SecretRedactor, owner_by_key, owner_of
from ciris_store_core.validation.field_types import field_types, is_record
from ciris_store_core.validation.json_values import (
    MAX_BYTES,
    UNUSUAL,
    Refused,
    clean_text,
    finite_number,
    json_copy,
    plain_number,
    plain_text,
    usual_copy,
)

T = TypeVar("T")
R = TypeVar("R", bound=Record)
TextErrors = Literal["strict", "replace"]
Check = Callable[[Any], Any]

MAX_ID_BYTES = 255
MAX_LIMIT = 10_000
_SHORT = MAX_BYTES // 4  # Characters that fit into the limit whatever they are.


class _Plan(NamedTuple):
    """The checks of one class of records."""

    checks: dict[str, Check]
    nested: tuple[str, ...]
    clocked: tuple[str, ...]
    """Fields that get the store's time if the caller gave none."""
    open: bool
    """Further attributes are kept."""
    texts: tuple[str, ...]
    """Fields of free text and JSON, which may hold secrets; ids do not count."""


class Validator:
    """Checks and normalises records, changes and arguments; whatever it refuses is ``InvalidArgument``."""

    def __init__(self, text_errors: TextErrors = "strict", redactor: SecretRedactor | None = None) -> None:
        """``text_errors``: what becomes of NUL and lone surrogates, ``strict`` or ``replace`` (by U+FFFD).

        ``redactor``: takes secrets out of what is to be written; None: detection is off.
        """
        if text_errors not in ("strict", "replace"):
            raise InvalidArgument(f"text_errors must be 'strict' or 'replace', not {text_errors!r}")
        self._replace = text_errors == "replace"
        self._plans: dict[type[Record], _Plan] = {}
        self._redactor = redactor

    # --- records ------------------------------------------------------------------------------

    def record(self, record: R, model: type[R], now: datetime, extracted: ExtractedSecrets | None) -> R:
        """A normalised copy that shares no container with ``record``; times that were not given become ``now``.

        Its secrets are replaced by references and appended to ``extracted``, which goes to the write of the record.
        None: the record is not going to be written.
        """
        if type(record) is not model:
            record = _as_model(record, model)
        try:
            ready = self._record(record, now)
        except Refused as refused:
            raise refused.as_error(model.__name__) from None
        if self._redactor is not None and extracted is not None:
            self._redactor.redact(model, self._plan, ready.__dict__, lambda: owner_of(ready), now, extracted)
        return ready

    def changes(
        self,
        model: type[Record],
        key: str,
        changes: Mapping[str, Any],
        updatable: frozenset[str],
        now: datetime,
        extracted: ExtractedSecrets,
    ) -> dict[str, Any]:
        """The new values of fields of ``model``, validated by their types; ``updated_at`` is ``now`` unless given.

        ``key``: of the record that changes. Secrets are replaced by references and appended to ``extracted``.
        """
        if not changes.keys() <= updatable:
            wrong = ", ".join(map(repr, sorted(changes.keys() - updatable)))
            raise InvalidArgument(f"{wrong} cannot be updated here. Choose from {', '.join(sorted(updatable))}.")
        scratch, validate = model.trusted({}), model.__pydantic_validator__.validate_assignment
        try:
            for name, value in changes.items():
                validate(scratch, name, value)
        except ValidationError as error:
            raise InvalidArgument(describe(error)) from error
        fields = {"updated_at": now, **scratch.__dict__}
        try:
            self._normalise(self._plan(model), fields, now)
        except Refused as refused:
            raise refused.as_error(model.__name__) from None
        if self._redactor is not None:
            self._redactor.redact(model, self._plan, fields, lambda: owner_by_key(model, key), now, extracted)
        return fields

    @property
    def detects(self) -> bool:
        """True if writes are scanned for secrets."""
        return self._redactor is not None

    def harmless(self, record: Record, tags: Sequence[Mapping[str, str]]) -> bool:
        """Return whether a checked record, and further tags, may be written without a full scan for secrets."""
        return self._redactor is None or self._redactor.harmless(record, self._plan, tags)

    def redact_value(self, value: Any, owner: SecretOwner, now: datetime, extracted: ExtractedSecrets) -> Any:
        """Return a JSON value with references in place of its secrets; the value itself if detection is off."""
        return value if self._redactor is None else self._redactor.redact_value(value, owner, now, extracted)

    def refuse_secrets(self, value: dict[str, Any], name: str) -> None:
        """Raise ``SecretDetected`` if a JSON object holds a secret, in a key or a value, and detection is on."""
        if self._redactor is not None:
            self._redactor.refuse(value, name)

    def _record(self, record: R, now: datetime) -> R:
        kind = type(record)
        plan = self._plans.get(kind) or self._plan(kind)
        fields = dict(record.__dict__)
        self._normalise(plan, fields, now)
        given = record.__pydantic_fields_set__
        for name in plan.clocked:
            if name not in given:
                fields[name] = now
        copy = kind.trusted(fields)
        if plan.open:
            object.__setattr__(copy, "__pydantic_extra__", self._json(record.__pydantic_extra__ or {}))
        return copy

    def _normalise(self, plan: _Plan, fields: dict[str, Any], now: datetime) -> None:
        name = ""
        checks = plan.checks
        try:
            for name, value in fields.items():
                # Most values: nothing, or a short text of ASCII, which every check of a text lets through as it is.
                if value is None or (
                    type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID_BYTES and "\0" not in value
                ):
                    continue
                if name in checks:
                    fields[name] = checks[name](value)
            for name in plan.nested:
                if fields.get(name) is not None:
                    fields[name] = self._record(fields[name], now)
        except Refused as refused:
            refused.path.append(name)
            raise

    # --- arguments ----------------------------------------------------------------------------

    def ident(self, value: str, name: str) -> str:
        """An id, name or tag key: 1 to 255 bytes of UTF-8."""
        if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID_BYTES and "\0" not in value:
            return value
        return self._named(self._ident, value, name)

    def optional(self, value: str | None, name: str) -> str | None:
        """An id, or None."""
        return None if value is None else self.ident(value, name)

    def idents(self, values: Iterable[str], name: str) -> list[str]:
        """Ids in the order given, without repeats."""
        if isinstance(values, str):
            raise InvalidArgument(f"{name}: expected several, not one text. Put it into a list.")
        return list(dict.fromkeys([self.ident(value, name) for value in values]))

    def text(self, value: str, name: str) -> str:
        """Free text up to 16 MiB."""
        return self._named(self._text, value, name)

    def tags(self, value: Mapping[str, str], name: str) -> dict[str, str]:
        """Tags: text to text."""
        return self._named(self._tags, value, name)

    def json_object(self, value: Mapping[str, Any], name: str) -> dict[str, Any]:
        """A JSON object, copied."""
        if not isinstance(value, Mapping):
            raise InvalidArgument(f"{name}: expected a JSON object, which is a dict, not a {type(value).__name__}")
        copy: dict[str, Any] = self._named(self._object, dict(value), name)
        return copy

    def scalar(self, value: Any, name: str) -> Any:
        """A JSON scalar: text, number, boolean or None."""
        copy = self._named(self._json, value, name)
        if isinstance(copy, dict | list):
            raise InvalidArgument(
                f"{name}: a {type(copy).__name__} cannot be compared with. Use text, a number, a boolean or None."
            )
        return copy

    @staticmethod
    def _named(check: Callable[[Any], T], value: Any, name: str) -> T:
        try:
            return check(value)
        except Refused as refused:
            raise refused.as_error(name) from None

    # --- one value; these raise Refused ---------------------------------------------------------

    def _ident(self, value: Any) -> str:
        if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID_BYTES and "\0" not in value:
            return value
        text = clean_text(plain_text(value), replace=self._replace)
        size = len(text.encode())
        if not 1 <= size <= MAX_ID_BYTES:
            raise Refused(f"an id or name has 1 to {MAX_ID_BYTES} bytes of UTF-8, not {size}. Shorten or hash it.")
        return text

    def _text(self, value: Any) -> str:
        if type(value) is str and len(value) <= _SHORT and value.isascii() and "\0" not in value:
            return value
        text = clean_text(plain_text(value), replace=self._replace)
        if len(text) > _SHORT and len(text.encode()) > MAX_BYTES:
            raise Refused("larger than 16 MiB. Store it elsewhere and keep a reference.")
        return text

    def _json(self, value: Any) -> Any:
        return json_copy(value, replace=self._replace)

    def _object(self, value: Any) -> Any:
        if type(value) is not dict:
            if not isinstance(value, dict):
                raise Refused(f"expected a JSON object, not {type(value).__name__}")
            value = dict(value)  # a view of it, such as the context of a thought
        return json_copy(value, replace=self._replace) if value else {}

    def _tags(self, value: Any) -> dict[str, str]:
        if not value:
            return {}
        if type(value) is dict and (copy := usual_copy(value)) is not UNUSUAL and _are_short_texts(copy):
            return copy  # type: ignore[no-any-return]
        if not isinstance(value, Mapping):
            raise Refused(f"expected a dict of text to text, not {type(value).__name__}")
        return self._mapping(value, self._text)

    def _numbers(self, value: Any) -> dict[str, float]:
        return self._mapping(value, finite_number)

    def _mapping(self, values: Mapping[Any, Any], check: Check) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        key: Any = ""
        try:
            for key, value in values.items():
                copy[self._ident(key)] = check(value)
        except Refused as refused:
            refused.path.append(ascii(key)[:80])
            raise
        if len(copy) != len(values):
            raise Refused("two keys become the same text once they are cleaned. Rename one.")
        return copy

    # --- plans ----------------------------------------------------------------------------------

    def _plan(self, model: type[Record]) -> _Plan:
        """Derived from the types of the fields, once, so that a new field cannot be forgotten."""
        if model in self._plans:
            return self._plans[model]
        hints = field_types(model)
        nested = tuple(name for name, hint in hints.items() if is_record(hint))
        found = {name: self._check_for(hint) for name, hint in hints.items() if name not in nested}
        self._plans[model] = plan = _Plan(
            {name: check for name, check in found.items() if check is not None},
            nested,
            tuple(name for name, field in model.model_fields.items() if field.default_factory is utc_now),
            model.model_config.get("extra") == "allow",
            tuple(name for name, hint in hints.items() if hint in _FREE),
        )
        return plan

    def _check_for(self, hint: Any) -> Check | None:
        known: dict[Any, Check] = {Id: self._ident, Text: self._text, JsonObject: self._object, Tags: self._tags}
        for kind, check in known.items():
            if hint == kind:
                return check
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._check_for(arguments[0])
        if is_record(hint):  # in a list
            return lambda value: self._record(_as_model(value, hint), utc_now())
        if origin is list:
            return _list_of(self._check_for(arguments[0]) or _as_it_is)
        if origin is dict and self._check_for(arguments[1]) is finite_number:
            return self._numbers
        return _check_for_plain(hint, origin)


_FREE = (Text, list[Text], JsonObject, Tags)


def _check_for_plain(hint: Any, origin: Any) -> Check | None:
    if hint is float:
        return finite_number
    # A union of an open vocabulary and text was matched against its pattern when it was assigned.
    if origin in (Union, UnionType) or (isinstance(hint, type) and issubclass(hint, Enum | int | datetime | bytes)):
        return None
    raise TypeError(f"no rule for fields of type {hint}")


def _are_short_texts(values: dict[str, Any]) -> bool:
    """Return whether all values are texts, and all keys short enough for an id, whatever their characters."""
    lengths = [*map(len, values)]
    return set(map(type, values.values())) == {str} and min(lengths) > 0 and max(lengths) <= MAX_ID_BYTES // 4


def _as_it_is(value: Any) -> Any:
    return value


def _list_of(check: Check) -> Check:
    def check_list(values: Any) -> list[Any]:
        if not isinstance(values, list):
            raise Refused(f"expected a list, not {type(values).__name__}")
        copy: list[Any] = []
        try:
            for value in values:
                copy.append(check(value))
        except Refused as refused:
            refused.path.append(f"[{len(copy)}]")
            raise
        return copy

    return check_list


def _as_model(record: Any, model: type[R]) -> R:
    """The record as exactly that class; a subclass must not hold more, which no backend would keep."""
    if not isinstance(record, model):
        raise InvalidArgument(f"expected a {model.__name__}, not {type(record).__name__}")
    more = set(type(record).model_fields) - set(model.model_fields)
    if more:
        raise InvalidArgument(f"{type(record).__name__} adds {', '.join(sorted(more))}. Keep them in metadata instead.")
    plain = model.trusted(dict(record.__dict__))
    object.__setattr__(plain, "__pydantic_fields_set__", set(record.__pydantic_fields_set__))
    object.__setattr__(plain, "__pydantic_extra__", record.__pydantic_extra__)
    return plain


# --- arguments that are no text ---------------------------------------------------------------


def moment(value: datetime | None, name: str) -> datetime | None:
    """An aware datetime in UTC, or None."""
    if value is None:
        return None
    try:
        return to_utc(value)
    except ValueError as error:
        raise InvalidArgument(f"{name}: {error}") from None


def whole(value: int, name: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    number = plain_number(value)
    if not isinstance(number, int) or not low <= number <= high:
        raise InvalidArgument(f"{name} must be a whole number from {low} to {high}, not {ascii(value)[:40]}")
    return number


def span(value: Any, name: str, low: timedelta, high: timedelta) -> timedelta:
    """A plain timedelta from ``low`` to ``high``, both included."""
    if not isinstance(value, timedelta) or not low <= value <= high:
        raise InvalidArgument(f"{name} must be a timedelta from {_told(low)} to {_told(high)}, not {ascii(value)[:40]}")
    return timedelta(value.days, value.seconds, value.microseconds)


def _told(value: timedelta) -> str:
    return f"{value.days} days" if value.days else f"{value.total_seconds():g} s"


def limit_of(value: int) -> int:
    """Return a limit of results: 1 to 10,000."""
    return whole(value, "limit", 1, MAX_LIMIT)
