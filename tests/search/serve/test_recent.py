import threading

import pytest

from search.serve.recent import Recent


def test_a_look_is_shared_until_it_is_old_or_forgotten():
    looks = iter(range(10))
    recent, old = Recent(lambda: next(looks), age_s=1000), Recent(lambda: next(looks), age_s=0)
    assert [recent(), recent()] == [0, 0]
    recent.forget()
    assert [recent(), recent()] == [1, 1]
    assert [old(), old()] == [2, 3]


def test_those_who_ask_while_somebody_looks_wait_for_that_look():
    looks, begun, may_end, seen = [], threading.Event(), threading.Event(), []

    def look():
        looks.append(1)
        begun.set()
        may_end.wait()
        return len(looks)

    recent = Recent(look, age_s=1000)
    threads = [threading.Thread(target=lambda: seen.append(recent())) for _ in range(5)]
    for thread in threads:
        thread.start()
    begun.wait()
    may_end.set()
    for thread in threads:
        thread.join()
    assert (seen, looks) == ([1] * 5, [1])


def test_a_look_that_fails_is_not_kept():
    answers = iter([ValueError("no"), "yes"])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    recent = Recent(look, age_s=1000)
    with pytest.raises(ValueError, match="no"):
        recent()
    assert recent() == "yes"
