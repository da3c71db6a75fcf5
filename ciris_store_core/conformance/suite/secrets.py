"""Encrypted secrets and the access log."""

from __future__ import annotations

import pytest

from ciris_store_core.conformance.factories import T0, access, at, secret
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import everything, exact, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models import SecretAccess, SecretRecord
from ciris_store_core.models.paging import PageRequest


def add(backend: Backend, *records: SecretRecord) -> None:
    """Store secrets in a transaction of their own."""
    with writing(backend) as session:
        session.secrets.add(records)


def ids(backend: Backend, key_id: str | None = None, limit: int = 100) -> list[str]:
    """The ids of all secrets, or of those under a key."""
    with reading(backend) as session:
        found = everything(lambda page: session.secrets.find(page, key_id), PageRequest(limit))
    return [each.secret_id for each in found]


def log(backend: Backend, secret_id: str | None = None, limit: int = 100) -> list[SecretAccess]:
    """The whole access log, or that of one secret."""
    with reading(backend) as session:
        return everything(lambda page: session.secrets.list_access(page, secret_id), PageRequest(limit))


class TestSecrets:
    """``add``, ``get``, ``find``, ``reencrypt`` and ``delete``."""

    @clause("secrets.add.conflict")
    def test_add_what_exists(self, backend: Backend) -> None:
        """Otherwise one secret overwrites another, which is then lost for ever."""
        add(backend, secret("b"))
        with pytest.raises(AlreadyExists):
            add(backend, secret("a"), secret("b", ciphertext=b"other"), secret("c"))
        assert ids(backend) == ["b"]
        with reading(backend) as session:
            assert session.secrets.get(["b"])[0].ciphertext == b"encrypted"

    @clause("secrets.get.existing")
    def test_get(self, backend: Backend) -> None:
        """Otherwise asking for an unknown secret fails, or hides the known ones."""
        add(backend)
        add(backend, secret("a"), secret("b"))
        with reading(backend) as session:
            assert session.secrets.get([]) == []
            assert [each.secret_id for each in session.secrets.get(["?", "b"])] == ["b"]

    @pytest.mark.parametrize("limit", [1, 2, 100])
    @clause("secrets.find.order")
    def test_find(self, backend: Backend, limit: int) -> None:
        """Otherwise a change of keys leaves some secrets under the old one."""
        add(backend, *(secret(id, key_id=f"k{i % 2}") for i, id in enumerate("dCba\u00e9")))
        assert ids(backend, limit=limit) == ["C", "a", "b", "d", "\u00e9"]
        assert ids(backend, "k0", limit) == ["b", "d", "\u00e9"]
        assert ids(backend, "K0", limit) == []

    @clause("secrets.find.next_after")
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a listing never ends, or ends too early."""
        add(backend, *map(secret, "abc"))
        with reading(backend) as session:
            assert session.secrets.find(PageRequest(2), None).next_after == ("b",)
            assert session.secrets.find(PageRequest(3), None).next_after is None

    @clause("secrets.reencrypt")
    def test_reencrypt(self, backend: Backend) -> None:
        """Otherwise a change of keys that is interrupted or done twice destroys secrets."""
        add(backend, secret("a"), secret("b"))
        same = b"\x01" * 300  # ciphertexts that are equal at the beginning, as versions and key ids may make them
        add(backend, secret("long", ciphertext=same + b"a"))
        with writing(backend) as session:
            for old in (same + b"b", same, same + b"a\x00", same + b"A", b"", same + b"a "):
                assert session.secrets.reencrypt("long", old, "k2", b"new") is False
            assert session.secrets.reencrypt("long", same + b"a", "k2", same + b"b") is True
            assert session.secrets.get(["long"])[0].ciphertext == same + b"b"
            assert session.secrets.reencrypt("a", b"another", "k2", b"new") is False
            assert session.secrets.reencrypt("?", b"encrypted", "k2", b"new") is False
            assert session.secrets.reencrypt("a", b"encrypted", "k2", b"new\x00") is True
            assert session.secrets.reencrypt("a", b"encrypted", "k3", b"newer") is False
        with reading(backend) as session:
            found = {each.secret_id: exact(each) for each in session.secrets.get(["a", "b"])}
        assert found == {"a": exact(secret("a", key_id="k2", ciphertext=b"new\x00")), "b": exact(secret("b"))}

    @clause("secrets.reencrypt.race", Level.CONCURRENT)
    def test_one_of_many_reencrypts(self, backend: Backend) -> None:
        """Otherwise two changes of keys at once leave a secret that no key opens."""
        add(backend, secret())
        won = race(
            8, lambda i: transact(backend, lambda s: s.secrets.reencrypt("s", b"encrypted", f"k{i}", bytes([i])))
        )
        assert sum(won) == 1
        with reading(backend) as session:
            [found] = session.secrets.get(["s"])
        assert (found.key_id, found.ciphertext) == (f"k{won.index(True)}", bytes([won.index(True)]))

    @clause("secrets.delete")
    def test_delete_keeps_the_log(self, backend: Backend) -> None:
        """Otherwise deleting a secret wipes out who has seen it."""
        add(backend, secret("a"), secret("b"))
        with writing(backend) as session:
            session.secrets.log_access([access("x", "a")])
            assert session.secrets.delete([]) == 0
            assert session.secrets.delete(["a", "?"]) == 1
            assert session.secrets.delete(["a"]) == 0
        assert ids(backend) == ["b"]
        assert [exact(each) for each in log(backend, "a")] == [exact(access("x", "a"))]


class TestAccessLog:
    """``log_access`` and ``list_access``."""

    @pytest.mark.parametrize("limit", [1, 2, 100])
    @clause("secrets.list_access.order")
    def test_order(self, backend: Backend, limit: int) -> None:
        """Otherwise the access log does not tell who resolved a secret, and when."""
        with writing(backend) as session:
            session.secrets.log_access([])
            session.secrets.log_access([access("b"), access("late", at=at(1e-6)), access("B", "other")])
            session.secrets.log_access([access("a", granted=False), access("early", at=at(-1))])
        assert [each.access_id for each in log(backend, limit=limit)] == ["early", "B", "a", "b", "late"]
        assert [each.access_id for each in log(backend, "s", limit)] == ["early", "a", "b", "late"]
        assert log(backend, "S") == []

    @clause("secrets.list_access.next_after")
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a listing never ends, or ends too early."""
        with writing(backend) as session:
            session.secrets.log_access([access(id) for id in "abc"])
            assert session.secrets.list_access(PageRequest(2), None).next_after == (T0, "b")
            assert session.secrets.list_access(PageRequest(3), None).next_after is None
