"""A signature: made, completed, linked, frozen, sent."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skirret import context, serializers
from skirret.canvas import Signature, maybe_signature, pop_next, signature, subtask
from skirret.errors import ImproperlyConfigured


def test_a_signature_is_the_dict_that_messages_carry(add):
    sig = signature(add, (1,), {"b": 2}, countdown=3)
    assert sig == {
        "task": "t.add", "args": (1,), "kwargs": {"b": 2}, "options": {"countdown": 3},
        "subtask_type": None, "immutable": False,
    }  # fmt: skip
    assert (sig.task, sig.name, sig.args, sig.kwargs, sig.options) == (
        "t.add",
        "t.add",
        (1,),
        {"b": 2},
        {"countdown": 3},
    )
    assert (sig.subtask_type, sig.immutable, sig.id, sig.parent_id, sig.root_id) == (None, False, None, None, None)
    assert sig.type is add
    assert subtask is signature


def test_partial_arguments_come_first_and_keywords_and_options_win(add, app):
    sig = signature("t.add", (3,), {"a": 1, "b": 1}, queue="slow", priority=1, app=app)
    assert sig.apply_async((1, 2), {"b": 2}, priority=9, expires=None).id == "sent"
    assert sig.delay(1).id == "sent"
    assert add.sent == [
        ((1, 2, 3), {"a": 1, "b": 2}, {"queue": "slow", "priority": 9}),
        ((1, 3), {"a": 1, "b": 1}, {"queue": "slow", "priority": 1}),
    ]
    assert sig(0) == ((0, 3), {"a": 1, "b": 1})
    assert sig.apply((0,), queue="q").get() == ((0, 3), {"a": 1, "b": 1}, {"queue": "q", "priority": 1})
    assert sig == signature("t.add", (3,), {"a": 1, "b": 1}, queue="slow", priority=1)


async def test_a_signature_can_be_sent_by_a_coroutine(add):
    assert (await signature(add, (1,)).adelay(0)).id == "sent"
    assert (await signature(add).aapply_async((5,), queue="q")).id == "sent"
    assert add.sent == [((0, 1), {}, {}), ((5,), {}, {"queue": "q"})]


def test_an_immutable_signature_takes_no_more_arguments_but_options(add):
    sig = signature(add, (1,), immutable=True)
    sig.apply_async((9,), {"x": 1}, queue="q")
    assert add.sent == [((1,), {}, {"queue": "q"})]
    assert sig.clone((9,)).args == (1,)
    assert sig.set(immutable=False).clone((9,)).args == (9, 1)


def test_a_task_that_is_not_registered_here_is_sent_by_name(app):
    assert signature("far.away", (1,), queue="q", app=app).apply_async((0,)).id == "named"
    assert app.sent == [("far.away", (0, 1), {}, {"queue": "q"})]
    assert signature("far.away", app=app).freeze("f").id == "f"


def test_the_current_app_is_used_where_none_is_bound(app, add):
    sig = signature("t.add")
    with pytest.raises(ImproperlyConfigured, match=r"app=app"):
        sig.delay()
    try:
        context.set_current_app(app)
        sig.delay()
    finally:
        context.set_current_app(None)
    assert len(add.sent) == 1


def test_a_clone_shares_no_containers_with_its_origin(add):
    sig = signature(add, (1,), {"a": 1}, link=[signature("t.other")], headers={"h": [1]})
    twin = sig.clone((0,), {"b": 2}, queue="q")
    assert (twin.args, twin.kwargs, twin.options["queue"]) == ((0, 1), {"a": 1, "b": 2}, "q")
    assert twin.type is add
    for other in (sig.clone(), sig.partial(), copy.deepcopy(sig)):
        assert other == sig
        assert isinstance(other, Signature)
        other.kwargs["a"] = 9
        other.options["headers"]["h"].append(2)
        other.options["link"][0].options["x"] = 1
        other.link(signature("t.more"))
    assert sig == signature(add, (1,), {"a": 1}, link=[signature("t.other")], headers={"h": [1]})


def test_replace_changes_only_what_is_given(add):
    sig = signature(add, (1,), {"a": 1}, queue="q")
    assert sig.replace(args=[2]) == signature(add, (2,), {"a": 1}, queue="q")
    assert sig.replace(kwargs={}, options={}) == signature(add, (1,))
    assert sig.args == (1,)


def test_freezing_gives_an_id_once(add, app):
    sig = signature(add, app=app)
    first = sig.freeze(group_id="g", root_id="r", parent_id="p", chord={"task": "body"}, group_index=0)
    assert first.id == sig.id == sig.freeze("other", group_id="h").id
    assert sig.options == {
        "task_id": first.id, "root_id": "r", "parent_id": "p", "reply_to": "oid", "group_id": "g",
        "chord": {"task": "body"}, "group_index": 0,
    }  # fmt: skip
    sig.apply_async(group_id="h", task_id="i")
    assert (add.sent[0][2]["group_id"], add.sent[0][2]["task_id"]) == ("g", "i")


def test_stamps_are_not_overwritten(add):
    sig = signature(add, stamped_headers=["s"], s=1)
    sig.apply_async(stamped_headers=["t"], s=2)
    assert add.sent[0][2] == {"stamped_headers": ["s"], "s": 1}


def test_links_are_appended_once_and_flattened(add):
    a, b, c = (signature(f"t.{name}") for name in "abc")
    sig = signature(add, link=dict(a))
    assert sig.link(b) is b
    sig.link(b)
    b.link(c)
    assert sig.options["link"] == [a, b]
    assert sig.flatten_links() == [sig, a, b, c]
    assert sig.link_error(c) is c
    assert sig.on_error(a) is sig
    sig.extend_list_option("link_error", (b,))
    sig.extend_list_option("link_error", None)
    assert sig.options["link_error"] == [c, a, b]


def test_the_text_of_a_call_reads_like_one(add):
    sig = signature(add, (2, "x"), {"k": None})
    assert repr(sig) == "t.add(2, 'x', k=None)"
    assert sig.reprcall(1, j=3) == "t.add(1, 2, 'x', k=None, j=3)"
    assert len(repr(signature(add, ("x" * 100_000,)))) < 2000


def test_two_signatures_are_never_merged_like_dicts(add):
    with pytest.raises(TypeError):
        signature(add) | signature(add)
    sig = signature(add)
    with pytest.raises(TypeError):
        sig |= signature(add)


def test_descriptions_become_signatures_and_others_stay(app):
    plain = {"task": "t.add", "args": [1], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": True}
    sig = maybe_signature(plain, app=app)
    assert (sig, sig.app, sig.immutable) == ({**plain, "args": (1,)}, app, True)
    assert maybe_signature(sig) is sig
    assert maybe_signature(sig, clone=True) is not sig
    assert maybe_signature(None, app=app) is None
    assert maybe_signature("text") == "text"
    assert signature(sig) == sig
    assert signature(sig) is not sig
    assert signature(sig, app=app).app is app


def test_a_short_description_is_completed(app):
    assert signature({"task": "t.add"}) == signature("t.add")
    assert signature({"task": "t.add", "args": None, "options": None}) == signature("t.add")


def test_registered_kinds_are_found_by_subtask_type():
    @Signature.register_type("kind_of_test")
    class Kind(Signature):
        pass

    try:
        described = {**signature("t.kind"), "subtask_type": "kind_of_test"}
        found = Signature.from_dict(described)
        assert type(found) is type(Kind.from_dict(described)) is type(found.clone()) is Kind
        assert type(copy.copy(found)) is type(copy.deepcopy(found)) is Kind
    finally:
        del Signature.TYPES["kind_of_test"]
    unknown = Signature.from_dict(described)
    assert (type(unknown), unknown.subtask_type) == (Signature, "kind_of_test")


def test_the_next_step_of_a_chain_is_its_last_and_the_chain_is_left_alone():
    chain = [{"task": "c"}, {"task": "b"}, {"task": "a"}]
    assert pop_next(chain) == ({"task": "a"}, [{"task": "c"}, {"task": "b"}])
    assert len(chain) == 3
    assert pop_next([]) == pop_next(None) == (None, [])


names = st.text(min_size=1, max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
calls = st.recursive(
    st.builds(
        Signature, names, st.lists(plain, max_size=3), st.dictionaries(names, plain, max_size=3),
        st.dictionaries(names.filter(lambda name: not name.startswith("link")), plain, max_size=3),
        immutable=st.booleans(),
    ),
    lambda inner: st.builds(
        lambda sig, link, errors: sig.set(link=link, link_error=errors),
        inner, st.lists(inner, max_size=2), st.lists(inner, max_size=2),
    ),
    max_leaves=5,
)  # fmt: skip


def listed(value):
    """`value` as JSON gives it back: tuples become lists."""
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, (list, tuple)) else value


@given(calls)
def test_a_signature_survives_plain_form_json_copies_and_pickle(sig):
    assert Signature.from_dict(dict(sig)) == sig
    assert Signature.from_dict(sig.__json__()) == sig
    for twin in (sig.clone(), copy.copy(sig), copy.deepcopy(sig), pickle.loads(pickle.dumps(sig)), sig.replace()):
        assert type(twin) is Signature
        assert twin == sig
    kind, encoding, body = serializers.dumps(sig, "json")
    for back in (json.loads(json.dumps(sig)), serializers.loads(body, kind, encoding, None)):
        assert listed(Signature.from_dict(back)) == listed(sig)
        assert isinstance(Signature.from_dict(back).args, tuple)


@given(calls)
def test_a_signature_is_described_as_celery_describes_it(sig):
    from celery.canvas import Signature as Celerys

    theirs = Celerys(sig.task, sig.args, sig.kwargs, sig.options, immutable=sig.immutable)
    assert theirs == sig
    assert Celerys.from_dict(dict(sig)) == sig
    assert Signature.from_dict(dict(theirs)) == sig


@given(calls, st.lists(plain, max_size=2), st.dictionaries(names, plain, max_size=2))
def test_completing_twice_is_completing_once(sig, args, kwargs):
    once = sig.clone(args, kwargs)
    assert once.clone() == once
    if sig.immutable:
        assert once == sig
    else:
        assert once.args == (*args, *sig.args)
        assert once.kwargs == {**sig.kwargs, **kwargs}
