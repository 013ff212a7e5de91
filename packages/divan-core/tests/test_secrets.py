"""What is secret shows in no dump of a backend's options, and in no frame of a traceback."""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Callable
from typing import Any, ClassVar

import divan
import pytest
from divan.backends.memory import MemoryBackend
from divan.options import Option, Options, text

SECRET = "hunter2/§ünter"
QUOTED = "hunter2%2F%C2%A7%C3%BCnter"


class Refusing(MemoryBackend):
    """A backend whose server is down."""

    default_host: ClassVar[str] = "localhost"
    default_port: ClassVar[int] = 7777
    known_options: ClassVar[Any] = {"api_token": Option(text, None, "A token."), "level": Option(text, "", "A level.")}

    def connect(self, database: str, host: str, port: int) -> Any:
        raise divan.ConnectionFailed("there is nobody")


def test_options_give_a_secret_to_whoever_asks_for_it_and_to_nobody_else() -> None:
    options = Options({"user": "ada", "password": SECRET, "timeout": 5.0, "api_token": None})

    assert options["password"] == options.get("password") == SECRET
    assert {**options}["password"] == dict(**options)["password"] == Options(options)["password"] == SECRET
    for duplicate in (options.copy(), copy.copy(options), copy.deepcopy(options)):
        assert (type(duplicate), duplicate["password"]) == (Options, SECRET)
    shown = {"user": "ada", "password": "***", "timeout": 5.0, "api_token": None}
    assert json.loads(json.dumps(options)) == json.loads(json.dumps(options, indent=1)) == shown
    assert dict(options.items()) == shown
    assert list(options.values()) == list(shown.values())
    assert repr(options) == str(options) == repr(shown)


CALLS: dict[str, Callable[[], Any]] = {
    "nobody answers": lambda: divan.open(Refusing, database="x", password=SECRET, api_token=SECRET),
    "an unknown option": lambda: divan.open(Refusing, database="x", password=SECRET, nonsense=1),
    "an option that can't be read": lambda: divan.open(Refusing, database="x", password=SECRET, level=5),
    "a secret that can't be read": lambda: divan.open(Refusing, database="x", api_token=[SECRET]),
    "no such backend": lambda: divan.open(f"nowhere://ada:{QUOTED}@localhost/x"),
    "a port that is none": lambda: divan.open(f"memory://ada:{SECRET}@localhost/x"),
    "what is no UTF-8": lambda: divan.open(f"memory://ada:{QUOTED}%ff@localhost/x"),
    "what can't be split": lambda: divan.open(f"memory://ada:{QUOTED}@[::1/x"),
    "a database beside the URL": lambda: divan.open(f"memory://ada:{QUOTED}@localhost/x", database="y"),
    "an option of the URL": lambda: divan.open(f"memory://ada:{QUOTED}@localhost/x?nonsense=1"),
    "an option given twice": lambda: divan.open(f"memory://ada:{QUOTED}@localhost/x?token={QUOTED}&token={QUOTED}"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_frame_of_a_traceback_has_a_secret_among_its_locals(call: Callable[[], Any]) -> None:
    with pytest.raises(divan.DivanError) as caught:
        call()

    shown = []
    error: BaseException | None = caught.value
    while error is not None:
        frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), capture_locals=True)
        shown += [repr(error), *(f"{frame.name}: {frame.locals}" for frame in frames if frame.filename != __file__)]
        error = error.__cause__ or error.__context__
    assert [text for text in shown if "hunter2" in text] == []
