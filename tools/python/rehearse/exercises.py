"""Checks answers of the notebooks' questions, with a tolerance and a hint.

Questions live in exercises.dat, packed so that the answers are not in plain sight; tools/exercises.py packs
and unpacks it. A question is known by the notebook's topic and its number: "pipeline.q3"; within a
notebook that has called `exercises.topic("pipeline")`, "q3" is enough.
"""

import base64
import functools
import json
import math
import pathlib
import zlib

_current = {"topic": ""}


def topic(name):
    """What a notebook says at its top, so that its questions can be called q1, q2, ..."""
    if not any(key.startswith(name + ".") for key in _questions()):
        raise ValueError(f"no questions on '{name}'")
    _current["topic"] = name


def check(question, answer):
    """Says whether the answer is right: True or False, or None while it is still `...`.

    A number is compared with the question's relative tolerance, a text without regard to case,
    a list element by element.
    """
    entry = _entry(question)
    if answer is Ellipsis:
        print(f"{question}: not answered yet")
        return None
    right = _agrees(entry["answer"], answer, entry.get("tolerance", 1e-9))
    print(f"{question}: right" if right else f"{question}: not yet. Hint: {entry['hint']}")
    return right


def hint(question):
    print(f"{question}: {_entry(question)['hint']}")


def solution(question):
    """The code that answers a question: what the tests run in its place."""
    return _entry(question)["solution"]


def _agrees(expected, answer, tolerance):
    if isinstance(expected, list):
        answer = list(answer) if hasattr(answer, "__iter__") else [answer]
        same_length = len(answer) == len(expected)
        return same_length and all(_agrees(e, a, tolerance) for e, a in zip(expected, answer))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        try:
            return math.isclose(float(answer), expected, rel_tol=tolerance, abs_tol=1e-12)
        except (TypeError, ValueError):
            return False
    return str(answer).strip().lower() == str(expected).strip().lower()


@functools.lru_cache
def _questions():
    packed = (pathlib.Path(__file__).parent / "exercises.dat").read_bytes()
    return json.loads(zlib.decompress(base64.b85decode(packed.replace(b"\n", b""))))


def _entry(question):
    topic_name = _current["topic"]
    for key in (question, f"{topic_name}.{question}"):
        if key in _questions():
            return _questions()[key]
    known = [k for k in _questions() if not topic_name or k.startswith(topic_name + ".")]
    raise KeyError(f"no question '{question}'; there are {', '.join(known)}")
