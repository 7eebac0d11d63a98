"""Exceptions cross the wire as themselves where their class is loaded, else as stand-ins; nothing is imported."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from skirret import errors
from skirret.errors import RemoteError
from skirret.meta import ResultMeta
from skirret.serializers import json as dialect
from skirret.wire import exceptions, results


class Plain(Exception):
    pass


class Keyworded(Exception):
    """Its constructor cannot be called with its args."""

    def __init__(self, code, *, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code


class Wrapping(Exception):
    """Its constructor accepts its args, but would wrap the message a second time."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class Attributed(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)
        self.code, self.text = code, text

    def __str__(self):
        return f"{self.text} ({self.code})"


class Unshowable(Exception):
    """Without its constructor it cannot even be shown."""

    def __init__(self, *, code):
        super().__init__("no code")
        self.code = code

    def __str__(self):
        return f"code {self.code}"


class Quitting(Exception):
    def __init__(self, *args):
        if args:
            raise SystemExit(3)
        super().__init__()


class Outer(Exception):
    class Inner(Exception):
        pass


class Impostor(Exception):
    def __new__(cls, *args):
        return "not an exception"


class BrokenRepr:
    def __repr__(self):
        raise ValueError("no repr")


def there_and_back(exc: BaseException) -> BaseException:
    told = dialect.loads(dialect.dumps(exceptions.encode(exc)))
    return exceptions.decode(told)


@pytest.mark.parametrize(
    "exc",
    [
        Plain("a", 1),
        Plain(),
        ValueError("bad", [1, {"a": None}]),
        KeyError("k"),
        Attributed(7, "seven"),
        Outer.Inner("deep"),
        FileNotFoundError(2, "No such file"),
        UnicodeWarning("w"),
        subprocess.CalledProcessError(3, ["ls"]),
        StopIteration(4),
        errors.MaxRetriesExceededError("enough"),
        errors.Reject("why", True),
    ],
    ids=repr,
)
def test_an_exception_whose_class_is_loaded_comes_back_as_itself(exc):
    found = there_and_back(exc)
    assert type(found) is type(exc)
    assert list(found.args) == list(exc.args)
    assert str(found) == str(exc)


def test_attributes_that_the_constructor_sets_are_there():
    found = there_and_back(Attributed(7, "seven"))
    assert (found.code, found.text) == (7, "seven")
    assert there_and_back(FileNotFoundError(2, "No such file")).errno == 2


def test_an_exception_with_an_odd_constructor_keeps_its_class_and_message():
    for exc in (Keyworded(5, detail="x"), Wrapping(5), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")):
        found = there_and_back(exc)
        assert type(found) is type(exc)
        assert str(found.args) == str(exc.args) or isinstance(exc, UnicodeDecodeError)
    assert str(there_and_back(Wrapping(5))) == "code 5"
    assert str(there_and_back(Keyworded(5, detail="x"))) == "5: x"


def test_a_class_that_cannot_be_made_safely_becomes_a_stand_in_of_its_name():
    told = {"exc_type": "Unshowable", "exc_module": __name__, "exc_message": ["no code"]}
    for name, args in (("Unshowable", ["no code"]), ("Impostor", [1])):
        found = exceptions.decode({**told, "exc_type": name, "exc_message": args})
        assert isinstance(found, RemoteError)
        assert type(found).__name__ == name
        assert list(found.args) == args
    quitting = exceptions.decode({**told, "exc_type": "Quitting", "exc_message": ["x"]})
    assert type(quitting) is Quitting
    assert quitting.args == ("x",)


def test_arguments_that_cannot_be_written_are_told_by_their_repr():
    found = there_and_back(Plain("kept", 3, {1, 2}, object, BrokenRepr(), 2**70, b"\xff"))
    assert found.args[:4] == ("kept", 3, "{1, 2}", "<class 'object'>")
    assert "BrokenRepr" in found.args[4] or "unprintable" in found.args[4]
    assert found.args[5] == 2**70


def test_a_class_that_is_not_loaded_becomes_a_stand_in_that_knows_what_it_was():
    told = {"exc_type": "Gone.Inner", "exc_module": "nowhere.at_all", "exc_message": ["why", 3]}
    found = exceptions.decode(told)
    assert isinstance(found, RemoteError)
    assert type(found).__name__ == "Inner"
    assert type(found).__qualname__ == "Gone.Inner"
    assert type(found).__module__ == "nowhere.at_all"
    assert (found.exc_type, found.exc_module, found.args) == ("Gone.Inner", "nowhere.at_all", ("why", 3))
    assert exceptions.encode(found) == told
    assert type(exceptions.decode(told)) is type(found)
    assert "nowhere" not in sys.modules


def test_a_stand_in_without_a_module_is_told_without_one():
    found = exceptions.decode({"exc_type": "Odd", "exc_message": ["x"]})
    assert type(found).__name__ == "Odd"
    assert exceptions.encode(found) == {"exc_type": "Odd", "exc_message": ["x"], "exc_module": ""}


def test_a_local_class_becomes_a_stand_in():
    class Local(Exception):
        pass

    found = there_and_back(Local("x"))
    assert isinstance(found, RemoteError)
    assert type(found).__name__ == "Local"
    assert exceptions.encode(found) == exceptions.encode(Local("x"))


@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "SystemExit"),
        ("builtins", "KeyboardInterrupt"),
        ("builtins", "GeneratorExit"),
        ("builtins", "object"),
        ("subprocess", "Popen"),
        ("os", "path.join"),
        ("builtins", "ValueError.__init__"),
        ("builtins", "ValueError.__class__"),
        (__name__, "subprocess.Popen"),
        ("", "ValueError"),
        ("builtins", "a..b"),
        ("x\0y", "z\0"),
        ("\ud800", "\udfff"),
        ("antigravity", "Oops"),
    ],
)
def test_what_is_no_exception_class_is_never_touched(module, name):
    before = set(sys.modules)
    found = exceptions.decode({"exc_type": name, "exc_module": module, "exc_message": ["touch /tmp/x"]})
    assert isinstance(found, RemoteError)
    assert set(sys.modules) == before
    str(found).encode()
    f"{type(found).__module__}{type(found).__qualname__}".encode()


def test_looking_for_a_class_runs_no_code_of_a_module():
    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError("touched")

    module = Lazy("lazy_one")
    sys.modules["lazy_one"] = module
    try:
        found = exceptions.decode({"exc_type": "Error", "exc_module": "lazy_one", "exc_message": []})
    finally:
        del sys.modules["lazy_one"]
    assert isinstance(found, RemoteError)


def test_a_reader_that_does_not_trust_makes_only_pythons_and_our_own_classes():
    assert isinstance(exceptions.decode(exceptions.encode(Plain("x")), trusting=False), RemoteError)
    assert type(exceptions.decode(exceptions.encode(ValueError("x")), trusting=False)) is ValueError
    revoked = exceptions.decode(exceptions.encode(errors.TaskRevokedError("x")), trusting=False)
    assert type(revoked) is errors.TaskRevokedError


@pytest.mark.parametrize("told", [{}, {"exc_type": None}, {"exc_type": "x" * 600}, {"exc_type": 3}, {"exc_type": ""}])
def test_a_failure_without_a_type_is_still_an_exception(told):
    assert isinstance(exceptions.decode(told), RemoteError)


def test_a_message_that_is_no_list_is_the_one_argument():
    assert exceptions.decode({"exc_type": "ValueError", "exc_module": "builtins", "exc_message": "x"}).args == ("x",)


def test_the_cause_is_told_by_the_traceback():
    text = "Traceback...\nKeyError: 1\n\nThe above exception was the direct cause of the following exception:\n..."
    payload = results.encode(ResultMeta(task_id="t", status="FAILURE", result=Plain("x"), traceback=text))
    assert results.decode(payload).traceback == text


def test_a_failure_of_the_users_own_meta_can_be_raised():
    payload = dialect.dumps({"status": "FAILURE", "result": {"mine": 1}, "task_id": "t"})
    found = results.decode(payload).result
    assert isinstance(found, RemoteError)
    assert found.args == ({"mine": 1},)


class Handle:
    def get(self):
        raise NotImplementedError

    def as_tuple(self):
        return (("id", None), None)


def test_a_result_handle_is_stored_as_its_tuple():
    meta = ResultMeta(task_id="t", status="SUCCESS", result=Handle(), children=[Handle()])
    found = results.decode(results.encode(meta))
    assert found.result == [["id", None], None]
    assert found.children == [[["id", None], None]]


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("no")


def test_with_pickle_an_exception_travels_whole_if_it_can():
    def back(exc):
        payload = results.encode(ResultMeta(task_id="t", status="FAILURE", result=exc), serializer="pickle")
        return results.decode(payload, accept=["pickle"], serializer="pickle").result

    found = back(Attributed(7, "seven"))
    assert (type(found), found.code) == (Attributed, 7)
    assert type(back(Unpicklable("x"))) is Unpicklable
    assert type(back(Keyworded(5, detail="x"))) is Keyworded
