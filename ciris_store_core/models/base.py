"""Base of all records: strict fields, typed errors, lossless JSON, UTC times."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from functools import partial
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ciris_store_core.errors import InvalidArgument

E = TypeVar("E")

_OPEN_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_OPEN_NAME_SCHEMA = "^[a-z][a-z0-9_]{0,63}$"
"""The same for JSON schemas, whose expressions are those of JavaScript."""


# A function of the interpreter's own, as are some below: every record calls them, and one written in Python costs more
# than all that it does.
utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The host's time in UTC. A store replaces such defaults with the time of its own clock."""


_TOO_FINE = re.compile(r"[.,]\d{6}0*[1-9]")


def to_utc(value: Any) -> datetime:
    """An aware datetime (or its ISO 8601 text) in UTC; a naive one is refused."""
    if isinstance(value, str):
        if _TOO_FINE.search(value):  # Python would cut off what it cannot hold
            raise ValueError("times are kept to the microsecond. Round the time first.")
        value = datetime.fromisoformat(value)
    moment: datetime = value if type(value) is datetime else _plain_datetime(value)
    zone = moment.tzinfo
    if zone is UTC:
        return moment
    if zone is None:
        raise ValueError(
            "a datetime without a time zone is ambiguous. Give it one, as in datetime.now(UTC) "
            "or value.replace(tzinfo=UTC)."
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(
            "the datetime is outside the years 1 to 9999 once converted to UTC. Give a time within them."
        ) from None


def _plain_datetime(value: Any) -> datetime:
    """A subclass's moment, which drivers may write down otherwise than they do a plain one."""
    if not isinstance(value, datetime):
        raise ValueError("expected a datetime or its ISO 8601 text")
    return datetime.combine(value.date(), value.time(), value.tzinfo)  # its fold is part of the time


def to_json_object(value: Any) -> dict[str, Any]:
    """A JSON object from a dict or a pydantic model. Its content is checked when it is written."""
    if type(value) is dict:
        return value.copy()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError("expected a JSON object: a dict with text keys, or a pydantic model")


def _plain(function: Callable[[Any], Any], json_schema: JsonSchemaValue) -> Any:
    """A pydantic annotation that validates with one plain function, the cheapest way there is.

    ``json_schema`` describes the values: pydantic cannot tell it from a function.
    """

    class _Schema:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
            return core_schema.no_info_plain_validator_function(function)

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
            return dict(json_schema)

    return _Schema()


class _AnyText:
    """Accepts every ``str`` as it is, lone surrogates included: what to do with those is the store's setting."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(core_schema.str_schema(), core_schema.is_instance_schema(str))


Text = Annotated[str, _AnyText()]
"""Text of any length up to 16 MiB of UTF-8."""

Id = Annotated[str, _AnyText()]
"""An identifier or name: 1 to 255 bytes of UTF-8, which the store checks when it is used."""

UtcDateTime = Annotated[datetime, _plain(to_utc, {"type": "string", "format": "date-time"})]
"""An aware datetime, converted to UTC, with microseconds."""

JsonObject = Annotated[dict[str, Any], _plain(to_json_object, {"type": "object", "additionalProperties": True})]
"""A JSON object: text keys; text, finite numbers, booleans, None, lists and objects as values."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


def _refuse_boolean(value: Any) -> Any:
    # pydantic refuses True as a number, but not the booleans of array libraries, which convert themselves to floats.
    if type(value) is not float and "bool" in str(getattr(value, "dtype", "")):
        raise ValueError("Input should be a valid number, not a boolean")
    return value


NO_BOOLEAN = BeforeValidator(_refuse_boolean)
Finite = Annotated[float, Field(allow_inf_nan=False), NO_BOOLEAN]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0.0, le=1.0), NO_BOOLEAN]
"""A number from 0 to 1."""


if TYPE_CHECKING:

    class Parsed(Generic[E]):
        """A field that reads as a member of an enum, and that takes a member, its name or its value."""

        def __get__(self, record: Any, owner: Any = None) -> E: ...

        def __set__(self, record: Any, value: E | str) -> None: ...

else:
    Parsed = Annotated[E, "a member, its name or its value"]


def default(member: Any) -> Any:
    """Return the default of a ``Parsed`` field. Type checkers compare a plain one with the descriptor."""
    return member


class NamedEnum(StrEnum):
    """An enum whose members are accepted by name or value, in any case, as text or as members."""

    if not TYPE_CHECKING:
        value = property(attrgetter("_value_"))  # the library's own takes two calls

    @classmethod
    def aliases(cls) -> Mapping[str, str]:
        """Further accepted names, in lower case, and the value that each means."""
        return {}

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The member for a name or value, in any case; an unknown one is refused, naming the valid ones."""
        if type(value) is cls:
            return value
        member = cls._lookup(value)
        if member is None:
            valid = ", ".join(m.value for m in cls)
            raise InvalidArgument(f"{_shown(value)} is not a {cls.__name__}. Use one of {valid}.")
        return member

    @classmethod
    def _lookup(cls, value: Any) -> Self | None:
        if not isinstance(value, str):
            return None
        text = str.__str__(value.value if isinstance(value, Enum) else value).lower()
        text = cls.aliases().get(text, text)
        found = cls._value2member_map_.get(text) or cls.__members__.get(text.upper())
        return found  # type: ignore[return-value]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return cls.json_schema()

    @classmethod
    def json_schema(cls) -> JsonSchemaValue:
        """Return the JSON schema of the values."""
        return {"type": "string", "enum": [member.value for member in cls], "title": cls.__name__}


class OpenEnum(NamedEnum):
    """A named enum that is open: any other ``[a-z][a-z0-9_]{0,63}`` is a value too, kept as plain text."""

    @classmethod
    def parse(cls, value: Any) -> Any:
        """The member, or the text itself where it is a well-formed name."""
        if type(value) is cls:
            return value
        member = cls._lookup(value)
        if member is not None:
            return member
        if isinstance(value, str) and _OPEN_NAME.match(value):
            return str.__str__(value)
        known = ", ".join(m.value for m in cls)
        raise InvalidArgument(
            f"{_shown(value)} is not a {cls.__name__}. Use one of {known}, "
            "or a name of your own in lower case: a letter, then letters, digits and _ (64 at most)."
        )

    @classmethod
    def json_schema(cls) -> JsonSchemaValue:
        """Return the JSON schema of the values, with the members as examples."""
        members = [member.value for member in cls]
        return {"type": "string", "pattern": _OPEN_NAME_SCHEMA, "examples": members, "title": cls.__name__}


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


_BUILDING = RLock()

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _BuiltAtFirstUse
else:

    class _BuiltAtFirstUse(type(BaseModel)):
        """A class whose validator is built when it is first used.

        A program uses few of the records, and building all of them would be most of its start.
        """

        # Not a function: pydantic resolves annotations in the frame that called it.
        __new__ = staticmethod(partial(type(BaseModel).__new__, defer_build=True))

        def __init__(cls, name, bases, namespace, **options):
            super().__init__(name, bases, namespace)
            # The option itself must not stay: it would defer the adapters that FastAPI makes of the class, too, and
            # with them the warnings that FastAPI suppresses while it makes them.
            cls.model_config.pop("defer_build", None)


class Record(BaseModel, metaclass=_BuiltAtFirstUse):
    """Base of all records: unknown fields are refused, assignments are validated, errors are ``InvalidArgument``."""

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        strict=True,
        ser_json_inf_nan="constants",
        hide_input_in_errors=True,  # A traceback shows causes, too, and the input may be a secret.
    )

    def __init__(self, **data: Any) -> None:
        """Validate the given fields; raises ``InvalidArgument`` naming each bad one."""
        try:
            self.__pydantic_validator__.validate_python(data, self_instance=self)  # what BaseModel's does
        except ValidationError as error:
            raise InvalidArgument(describe(error)) from error

    # As BaseModel marks its own: otherwise pydantic would call this one for every nested record, and validate it twice.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_rebuild(cls, *, _parent_namespace_depth: int = 2, **options: Any) -> bool | None:
        """Build the validator and the serializer, which pydantic asks for at the first use of the class."""
        # Older versions of pydantic let two threads build one class at once, and one of them sees it half built.
        with _BUILDING:
            if cls.__pydantic_complete__ and not options.get("force"):
                return None
            return super().model_rebuild(_parent_namespace_depth=_parent_namespace_depth + 1, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign a validated field; raises ``InvalidArgument``."""
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            raise InvalidArgument(describe(error)) from error

    @classmethod
    def trusted(cls, fields: dict[str, Any]) -> Self:
        """A record around values that were validated before, such as a stored row. ``fields`` must be complete."""
        self = cls.__new__(cls)
        _set_dict(self, fields)
        _set_given(self, set(fields))
        _set_extra(self, None)
        _set_private(self, None)
        return self

    def replaced(self, **changes: Any) -> Self:
        """A copy with other, already valid, values for some fields."""
        copy = self.trusted({**self.__dict__, **changes})
        _set_extra(copy, self.__pydantic_extra__)
        return copy

    def to_json(self) -> str:
        """The whole record as JSON text, from which ``from_json`` makes an equal one."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The record of a JSON text; raises ``InvalidArgument`` naming what is wrong."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidArgument(describe(error)) from error


# The slots of a pydantic model, set directly: by name, it would take three times as long as all else of making one.
_set_dict, _set_given, _set_extra, _set_private = (
    BaseModel.__dict__[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def describe(error: ValidationError) -> str:
    """One line naming every bad field of a record and why, without showing the values."""
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(step) for step in problem["loc"]) or "record"
        parts.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return f"{error.title}: " + "; ".join(parts)
