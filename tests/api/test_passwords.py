from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from stretto.api.passwords import MAX_PASSWORD, generated, hashed, matches, outdated


def test_a_hash_is_salted_argon2id_and_knows_its_password():
    first, second = hashed("correct horse"), hashed("correct horse")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert matches(first, "correct horse")
    assert not matches(first, "correct horsf")
    assert not matches(first, "")


def test_nobodys_and_broken_hashes_match_nothing():
    assert not matches(None, "x")
    assert not matches("$argon2id$nonsense", "x")
    assert not matches("", "")


def test_what_is_longer_than_a_password_never_matches():
    longest = "x" * MAX_PASSWORD
    assert matches(hashed(longest), longest)
    assert not matches(hashed(longest), longest + "y")


def test_other_parameters_are_outdated():
    assert outdated(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x"))
    assert not outdated(hashed("x"))


def test_generated_passwords_differ():
    assert len({generated() for _ in range(9)}) == 9
    assert len(generated()) == 20


def test_a_storm_of_logins_takes_two_threads():
    known = hashed("x")
    with ThreadPoolExecutor(12) as callers:
        assert all(callers.map(lambda _: matches(known, "x"), range(24)))
    own = [thread for thread in threading.enumerate() if thread.name.startswith("passwords")]
    assert 1 <= len(own) <= 2
