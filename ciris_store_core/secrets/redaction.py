"""Redaction: the secrets in a record are replaced by references before the record is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ciris_store_core.errors import SecretDetected
from ciris_store_core.models.base import Record
from ciris_store_core.models.coordination import Occurrence
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.documents import Document
from ciris_store_core.models.graph import GraphEdge, GraphNode
from ciris_store_core.models.paths import path_of
from ciris_store_core.models.secrets import SecretAccess, SecretRecord
from ciris_store_core.models.tasks import Task
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.secrets.crypto import SecretCrypto, SecretOwner
from ciris_store_core.secrets.key_files import HOW_TO_GET_A_KEY
from ciris_store_core.secrets.keys import DETECT_VARIABLE, SecretsConfig
from ciris_store_core.secrets.patterns import CARD_NUMBER, PASSWORD, PIN, PRIVATE_KEY, SSN, SecretPattern
from ciris_store_core.secrets.references import reference
from ciris_store_core.secrets.spans import Collapsed, Match, outside, reference_spans
from ciris_store_core.secrets.values import is_secret_value, may_be_nested

if TYPE_CHECKING:
    from ciris_store_core.secrets.detector import Detector


class ExtractedSecrets(list[SecretRecord]):
    """Secrets that redaction took out of records. The write of these records stores them in the same transaction."""


RECORD_KINDS: dict[type[Record], tuple[str, tuple[str, ...]]] = {
    GraphNode: ("node", ("scope", "id")),
    GraphEdge: ("edge", ("scope", "source", "target", "relationship")),
    Task: ("task", ("task_id",)),
    Thought: ("thought", ("thought_id",)),
    Correlation: ("correlation", ("correlation_id",)),
    Occurrence: ("occurrence", ("occurrence_id",)),
    SecretAccess: ("access", ("access_id",)),
    Document: ("document", ("namespace", "key")),
}
"""By record type with texts: the name of the kind and the fields of its key, which bind the secret to its record."""

# Kinds whose secrets may be numbers.
_NUMERIC = (PASSWORD, PIN, SSN, CARD_NUMBER)
# Keys of objects in which every text is a secret: {"credentials": {"user": ..., "code": ...}}.
_CONTAINERS = frozenset({"secrets", "credentials", "creds", "passwords", "api_keys", "apikeys"})
# Keys of the value within the object of a secret: {"api_key": {"value": ...}}.
_VALUES = frozenset({"value", "plaintext"})
_NAMES = ("name", "key")
# Keys within the object of a secret that describe it.
_OF_NO_SECRET = frozenset({"type", "name", "id", "key_id", "format", "description", "url", "version", "algorithm"})
_ENDS = "-----END "


class FieldPlan(Protocol):
    """Names of the fields of a record type that hold free text or JSON, and of those that hold records."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts, lists of texts, JSON objects and tags."""
        ...

    @property
    def nested(self) -> tuple[str, ...]:
        """Records."""
        ...


FieldPlanOf = Callable[[type[Record]], FieldPlan]


def owner_of(record: Record) -> SecretOwner:
    """Return the owner that the secrets of a record are bound to: its kind and key."""
    kind, fields = RECORD_KINDS[type(record)]
    values = (record.__dict__[field] for field in fields)
    return [kind, *(path_of(value) if isinstance(value, tuple) else str(value) for value in values)]


def owner_by_key(model: type[Record], key: str) -> SecretOwner:
    """Return the owner for a record with that id, as ``owner_of`` does for the record."""
    return [RECORD_KINDS[model][0], key]


def redactor_for(config: SecretsConfig, crypto: SecretCrypto) -> SecretRedactor:
    """Return the redactor for a configuration."""
    from ciris_store_core.secrets.detector import Detector  # Not needed where detection is off.

    return SecretRedactor(Detector(config.patterns, config.without), crypto)


class SecretRedactor:
    """Scanner of records on their way to the database: it encrypts each secret and puts a reference in its place."""

    def __init__(self, detector: Detector, crypto: SecretCrypto) -> None:
        """Scan with ``detector``, and encrypt with ``crypto``."""
        self.detector = detector
        self.crypto = crypto

    def redact(
        self,
        model: type[Record],
        plan_of: FieldPlanOf,
        fields: dict[str, Any],
        owner: Callable[[], SecretOwner],
        now: datetime,
        extracted: ExtractedSecrets,
    ) -> None:
        """Replace the secrets in these fields, and in the records that they hold, and append them to ``extracted``.

        Raises:
            SecretDetected: There is a secret, and no key. The error names the field, but not the secret.
        """
        texts: list[str] = []
        keys: set[str] = set()
        _gather(model, plan_of, fields, None, texts, keys)
        if self.detector.harmless(texts, keys):
            return
        _Redaction(self.detector, self.crypto, owner(), now, extracted, model.__name__).fields(model, plan_of, fields)

    def redact_value(self, value: Any, owner: SecretOwner, now: datetime, extracted: ExtractedSecrets) -> Any:
        """Return a JSON value with references in place of its secrets, which are appended to ``extracted``.

        Return the value itself if it has none.

        Raises:
            SecretDetected: There is a secret, and no key.
        """
        texts: list[str] = []
        keys: set[str] = set()
        _collect([value], texts, keys)
        if self.detector.harmless(texts, keys):
            return value
        count = len(extracted)
        redacted = _Redaction(self.detector, self.crypto, owner, now, extracted, "value").value(value, None)
        return value if len(extracted) == count else redacted

    def refuse(self, value: dict[str, Any], name: str) -> None:
        """Raise ``SecretDetected`` if a JSON object, keys included, holds a secret; nothing can replace it there."""
        _Refusal(self.detector, self.crypto, [], datetime.min, ExtractedSecrets(), name).value(value, None)

    def harmless(self, record: Record, plan_of: FieldPlanOf, more: Sequence[Mapping[str, str]]) -> bool:
        """Return whether nothing in a record, or in further tags, looks like a secret."""
        texts: list[str] = []
        keys: set[str] = set()
        _gather(type(record), plan_of, record.__dict__, None, texts, keys)
        for tags in more:
            _collect(tags, texts, keys)
        return self.detector.harmless(texts, keys)


def _gather(
    model: type[Record],
    plan_of: FieldPlanOf,
    fields: dict[str, Any],
    extra: dict[str, Any] | None,
    texts: list[str],
    keys: set[str],
) -> None:
    plan = plan_of(model)
    for name in plan.texts:
        value = fields.get(name)
        if value:
            if type(value) is str:
                texts.append(value)
            else:
                _collect(value, texts, keys)
    for name in plan.nested:
        inner = fields.get(name)
        if inner is not None:
            _gather(type(inner), plan_of, inner.__dict__, inner.__pydantic_extra__, texts, keys)
    if extra:
        _collect(extra, texts, keys)


def _collect(value: Any, texts: list[str], keys: set[str]) -> None:
    if type(value) is dict:
        keys.update(value)
        value = value.values()
    for item in value:
        if type(item) is str:
            texts.append(item)
        elif type(item) is dict or type(item) is list:
            _collect(item, texts, keys)


class _Redaction:
    """Redaction of one record in which a text looked like a secret."""

    def __init__(
        self,
        detector: Detector,
        crypto: SecretCrypto,
        owner: SecretOwner,
        now: datetime,
        extracted: ExtractedSecrets,
        root: str,
    ) -> None:
        self._extracted = extracted
        self._detector = detector
        self._crypto = crypto
        self._owner = owner
        self._now = now
        self._path = [root]
        self._known: dict[Any, str] = {}
        self._in_private_key = False

    def fields(self, model: type[Record], plan_of: FieldPlanOf, fields: dict[str, Any]) -> None:
        plan = plan_of(model)
        for name in plan.texts:
            if fields.get(name):
                fields[name] = self._at(name, fields[name], None)
        for name in plan.nested:
            inner = fields.get(name)
            if inner is not None:
                self._path.append(name)
                self.fields(type(inner), plan_of, inner.__dict__)
                if inner.__pydantic_extra__:
                    object.__setattr__(inner, "__pydantic_extra__", self.value(inner.__pydantic_extra__, None))
                self._path.pop()

    def _at(self, step: str, value: Any, named: SecretPattern | None, around: SecretPattern | None = None) -> Any:
        self._path.append(step)
        found = self.value(value, named, around)
        self._path.pop()
        return found

    def value(self, value: Any, named: SecretPattern | None, around: SecretPattern | None = None) -> Any:
        """Return a JSON value without its secrets.

        ``named``: the kind of secret that its key names; ``around``: the kind that an outer key names.
        """
        if type(value) is str:
            return self._text(value, named or (around if may_be_nested(value) else None))
        if type(value) is dict:
            return self._object(value, named, named or around)
        if type(value) is list:
            return self._list(value, named, around)
        if named in _NUMERIC and type(value) in (int, float) and is_secret_value(str(value), named):
            return self._reference(value, named)
        return value

    def _list(self, values: list[Any], named: SecretPattern | None, around: SecretPattern | None) -> list[Any]:
        copy = []
        self._in_private_key = False
        for i, item in enumerate(values):
            begun = self._in_private_key and type(item) is str
            copy.append(self._private_line(item) if begun else self._at(f"[{i}]", item, named, around))
        self._in_private_key = False
        return copy

    def _private_line(self, line: str) -> str:
        """Redact a line of a private key that began in an earlier line."""
        written = self._replace(line, outside([Match(0, len(line), PRIVATE_KEY)], reference_spans(line), line))
        self._in_private_key = _ENDS not in line
        return written

    def _object(
        self, value: dict[str, Any], direct: SecretPattern | None, around: SecretPattern | None
    ) -> dict[str, Any]:
        inside = direct if self._path[-1].strip("'").lower() in _CONTAINERS else None
        says = next((self._detector.key(value[name]) for name in _NAMES if type(value.get(name)) is str), None)
        copy: dict[str, Any] = {}
        for key, item in value.items():
            named = self._detector.key(key) or inside
            if key.lower() in _VALUES:
                named = named or says or direct
            written = self._text(key, None)
            further = None if key.lower() in _OF_NO_SECRET else around
            copy[written] = self._at(ascii(written)[:80], item, named, further)
        return copy

    def _text(self, text: str, named: SecretPattern | None) -> str:
        self._in_private_key = False
        spans = reference_spans(text)
        if named is not None and is_secret_value(Collapsed(text, spans).text, named):
            return self._replace(text, outside([Match(0, len(text), named)], spans, text))
        return self._replace(text, self._detector.find(text))

    def _replace(self, text: str, matches: list[Match]) -> str:
        """Return the text with references in place of these matches."""
        pieces, at = [], 0
        for start, end, pattern in matches:
            pieces += [text[at:start], self._reference(text[start:end], pattern)]
            at = end
            self._in_private_key = pattern is PRIVATE_KEY and _ENDS not in text[start:end]
        return "".join([*pieces, text[at:]]) if matches else text

    def _reference(self, value: Any, pattern: SecretPattern) -> str:
        known = self._known.get((type(value), value))
        if known is None:
            self._refuse_without_key(pattern)
            secret = self._crypto.encrypt(self._owner, pattern, value, self._now)
            if not self._extracted:
                self._extracted.append(self._crypto.check(self._now))
            self._extracted.append(secret)
            known = self._known[type(value), value] = reference(secret.secret_id, secret.description)
        return known

    def _refuse_without_key(self, pattern: SecretPattern) -> None:
        if not self._crypto.has_keys:
            raise SecretDetected(
                f"{'.'.join(self._path)}: this holds a secret ({pattern.description}), and there is no key to encrypt "
                f"it with. {HOW_TO_GET_A_KEY}, or switch detection off with open_store(secrets=False) or "
                f"{DETECT_VARIABLE}=off."
            )


class _Refusal(_Redaction):
    """Search of a value whose secrets no reference can replace."""

    def _reference(self, value: Any, pattern: SecretPattern) -> str:
        raise SecretDetected(
            f"{'.'.join(self._path)}: this holds a secret ({pattern.description}), and no reference can replace it "
            f"here. Use another key, or switch detection off with open_store(secrets=False) or {DETECT_VARIABLE}=off."
        )
