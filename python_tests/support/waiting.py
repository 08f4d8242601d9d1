"""Waiting for a condition, always with a deadline.

The one place of the suite that pauses: a test names what it waits for, and fails with that name.
"""

import time

#: Seconds between two looks. Short beside the shortest wait a test makes (a request, about 1 ms), long enough
#: that waiting does not take the CPU from the server on a 2-core machine.
PAUSE = 0.01

#: Seconds a condition may take unless the test says otherwise: some hundred times what it takes on an idle machine.
DEADLINE = 15.0


def soon(predicate, deadline=DEADLINE, what=None):
    """Return the first truthy value of `predicate`, or fail once `deadline` seconds have passed."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {deadline} s: {said or predicate}")
        time.sleep(PAUSE)


def steady(measure, looks=20, deadline=DEADLINE):
    """Return the value of `measure` once it has been the same for `looks` looks in a row."""
    seen = []

    def same():
        seen.append(measure())
        return len(seen) >= looks and len(set(seen[-looks:])) == 1

    soon(same, deadline, what=lambda: f"a steady value, last ones {seen[-5:]}")
    return seen[-1]
