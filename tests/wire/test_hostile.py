"""Decoding is a total function: whatever the bytes, a value or Malformed with a reason, soon and in little memory."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import pickle
import time
import tracemalloc
import zlib

import brotli
import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from skirret.errors import BackendGetMetaError, DecodeError, EncodeError
from skirret.message import Envelope, Malformed, TaskMessage
from skirret.serializers import DEFAULT, STRICT, compression, limits, loads
from skirret.serializers import json as dialect
from skirret.wire import envelope, exceptions, results, task
from tests.wire import peers
from tests.wire.values import plain

GOLDEN = [case["raw"].encode() for case in peers.golden_messages()]
PAYLOADS = [(case["serializer"], case["payload"]) for case in peers.golden_results() if case["serializer"] != "pickle"]
SAFE = ["json", "msgpack", "yaml"]
SECONDS, MEGABYTES = 1.0, 64


def judge(raw: bytes, profile: limits.Limits = DEFAULT) -> Malformed | TaskMessage:
    """Everything that a worker does with raw bytes. An exception fails the test."""
    head = envelope.head(raw, limits=profile, accept=SAFE)
    assert isinstance(head, (envelope.Head, Malformed))
    received = envelope.decode(raw, limits=profile)
    if isinstance(received, Malformed):
        assert isinstance(head, Malformed) or head.size == len(raw)
        return described(received)
    message = task.decode(received.envelope, accept=SAFE, limits=profile)
    if isinstance(message, Malformed):
        return described(message)
    assert isinstance(head, envelope.Head), (head, message)
    assert (head.task, head.id) == (message.task, message.id)
    f"{message.task} {message.id} {message.root_id} {message.group}".encode()
    return message


def described(verdict: Malformed) -> Malformed:
    assert verdict.reason
    assert len(verdict.reason) < 1000
    assert len(verdict.excerpt) <= 4 * 512
    verdict.excerpt.encode("ascii")
    return verdict


def body_of(raw: bytes, **changes: object) -> bytes:
    whole = json.loads(GOLDEN[0])
    whole["body"] = base64.b64encode(raw).decode()
    for key, value in changes.items():
        whole[key.replace("_", "-")] = value
    return json.dumps(whole).encode()


def with_headers(**changes: object) -> bytes:
    whole = json.loads(GOLDEN[0])
    whole["headers"].update(changes)
    return json.dumps(whole).encode()


@given(st.binary(max_size=400))
def test_random_bytes_are_a_value_or_malformed(raw):
    judge(raw)
    judge(raw, STRICT)


@given(st.sampled_from(GOLDEN), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 8), st.binary(max_size=8))))
def test_mutated_messages_are_a_value_or_malformed(raw, cuts):
    for at, length, new in cuts:
        raw = raw[:at] + new + raw[at + length :]
    judge(raw)
    judge(raw, STRICT)


@given(st.sampled_from(GOLDEN), st.lists(st.tuples(st.integers(0, 60), plain), min_size=1, max_size=3))
def test_messages_with_changed_fields_are_a_value_or_malformed(raw, changes):
    whole = json.loads(raw)
    for where, value in changes:
        spaces = [space for space in (whole, whole.get("headers"), whole.get("properties")) if isinstance(space, dict)]
        keys = [(space, key) for space in spaces for key in space]
        space, key = keys[where % len(keys)]
        space[key] = value
    judge(json.dumps(whole).encode())


@given(plain | st.tuples(plain, plain, plain), st.sampled_from(["json", "msgpack", "yaml"]))
def test_any_body_is_a_value_or_malformed(value, kind):
    try:
        body = {"json": lambda v: json.dumps(v).encode(), "msgpack": msgpack.packb, "yaml": _yaml}[kind](value)
    except Exception:
        return
    content_type = {"json": "application/json", "msgpack": "application/x-msgpack", "yaml": "application/x-yaml"}[kind]
    judge(body_of(body, content_type=content_type))


def _yaml(value):
    import yaml

    return yaml.safe_dump(value).encode()


@given(st.binary(max_size=200), st.sampled_from(["application/x-msgpack", "application/x-yaml", "application/json"]))
def test_random_bodies_are_a_value_or_malformed(body, content_type):
    judge(body_of(body, content_type=content_type))


@given(st.sampled_from(PAYLOADS), st.integers(0, 300), st.binary(max_size=4), st.integers(0, 4))
def test_damaged_results_raise_the_one_error(case, at, new, length):
    serializer, payload = case
    try:
        results.decode(payload[:at] + new + payload[at + length :], accept=SAFE, serializer=serializer)
    except BackendGetMetaError:
        pass


@given(plain)
def test_any_json_as_a_result_is_a_meta_or_the_one_error(value):
    for told in (value, {"status": "FAILURE", "result": value}, {"status": "SUCCESS", "result": 1, "children": value}):
        try:
            results.decode(json.dumps(told).encode())
        except BackendGetMetaError:
            pass


@given(st.dictionaries(st.sampled_from(["exc_type", "exc_module", "exc_message"]), plain))
def test_any_mapping_as_an_exception_is_an_exception(told):
    found = exceptions.decode(told)
    assert isinstance(found, Exception)
    str(found)
    repr(found)


DEEP = 10**6
EMBED = b',{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
BOMBS = {
    "deep arrays": b"[" * DEEP,
    "deep closed arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * (DEEP // 3),
    "deep and wide": b"[[1],[[" * 200_000,
    "deeper than the bound by one": b"[" * 257 + b"]" * 257,
    "a long integer": b"[[" + b"9" * 10**7 + b"]" + EMBED,
    "a long fraction": b"[[1." + b"9" * 10**7 + b"]" + EMBED,
    "many integers at the bound": b"[[" + b",".join([b"9" * 4300] * 500) + b"]" + EMBED,
    "a huge exponent": b"[[1e999999999]" + EMBED,
    "many values": b"[[" + b"1," * 6_000_000 + b"1]" + EMBED,
    "many empty objects": b"[[" + b"{}," * 4_000_000 + b"1]" + EMBED,
    "many strings": b"[[" + b'"",' * 4_000_000 + b"1]" + EMBED,
    "many escapes": b'[["' + b'\\"' * 6_000_000 + b'"]' + EMBED,
    "many backslashes": b'[["' + b"\\\\" * 6_000_000 + b'"]' + EMBED,
    "an open string": b'[["' + b"[" * 10**7,
    "a big decimal": b'[[{"__type__":"decimal","__value__":"1e999999999"}]' + EMBED,
    "many digits of a decimal": b'[[{"__type__":"decimal","__value__":"' + b"9" * 10**7 + b'"}]' + EMBED,
    "an unknown type": b'[[{"__type__":"os.system","__value__":"id"}]' + EMBED,
    "a type that is no text": b'[[{"__type__":[1],"__value__":1}]' + EMBED,
    "a uuid with other fields": b'[[{"__type__":"uuid","__value__":{"int":1}}]' + EMBED,
    "a bad date": b'[[{"__type__":"datetime","__value__":"' + b"2" * 10**6 + b'"}]' + EMBED,
    "many tags": b"[[" + b'{"__type__":"bytes","__value__":"x"},' * 30_000 + b"1]" + EMBED,
}


def peak_of(call) -> float:
    """The most memory that `call` held at once, in MiB."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def seconds_of(call) -> float:
    """Processor time of `call`: the machine may be busy with other things."""
    began = time.thread_time()
    call()
    return time.thread_time() - began


@pytest.mark.parametrize("name", BOMBS)
def test_a_json_bomb_is_judged_soon_and_in_little_memory(name):
    body = BOMBS[name]
    as_body, as_message = body_of(body), body
    assert seconds_of(lambda: judge(as_message)) < SECONDS
    assert seconds_of(lambda: judge(as_body)) < SECONDS
    assert peak_of(lambda: judge(as_message)) < MEGABYTES
    # The body is there as text, as bytes and decoded.
    assert peak_of(lambda: judge(as_body)) < MEGABYTES + 3 * len(as_body) / 2**20
    verdict = judge(as_body)
    harmless = {"a huge exponent", "many integers at the bound", "many tags"}
    harmless |= {"many escapes", "many backslashes"}
    assert isinstance(verdict, Malformed) == (name not in harmless or len(as_body) > limits.MAX_BYTES), verdict


def _zeros(size: int) -> bytes:
    return b"0" * size


STREAMS = {
    "application/x-gzip": zlib.compress,
    "application/x-bz2": bz2.compress,
    "application/x-lzma": lzma.compress,
    "application/zstd": zstandard.compress,
    "application/x-brotli": lambda body: brotli.compress(body, quality=1),
}


@pytest.mark.parametrize("method", STREAMS)
def test_a_bomb_of_compression_is_cut_at_the_bound(method):
    bomb = STREAMS[method](_zeros(200 * 2**20))
    envelope_ = Envelope(headers={**json.loads(GOLDEN[0])["headers"], "compression": method}, body=bomb)
    verdict = task.decode(envelope_)
    assert isinstance(verdict, Malformed)
    assert "decompresses to more than" in verdict.reason
    assert peak_of(lambda: task.decode(envelope_)) < MEGABYTES
    with pytest.raises(BackendGetMetaError, match="decompresses to more than"):
        results.decode(results.MAGIC + method.encode() + b"\0" + bomb)


@pytest.mark.parametrize("method", STREAMS)
def test_the_bound_of_decompression_is_exact(method):
    stream = STREAMS[method](_zeros(1000))
    assert compression.decompress(stream, method, 1000) == _zeros(1000)
    with pytest.raises(DecodeError):
        compression.decompress(stream, method, 999)


@pytest.mark.parametrize("method", STREAMS)
def test_a_damaged_stream_is_malformed(method):
    stream = STREAMS[method](b"some text that is compressed" * 20)
    for damaged in (b"", stream[:-6], stream[: len(stream) // 2], stream + b"trailing", b"\0" + stream):
        with pytest.raises(DecodeError):
            compression.decompress(damaged, method, 10_000)


def test_a_zstd_frame_without_its_size_is_bounded_too():
    frames = zstandard.ZstdCompressor(write_content_size=False)
    assert compression.decompress(frames.compress(b"x" * 1000), "zstd", 1000) == b"x" * 1000
    with pytest.raises(DecodeError):
        compression.decompress(frames.compress(_zeros(10**8)), "zstd", 10**6)


MSGPACK_BOMBS = {
    "deep": b"\x91" * DEEP,
    "wide": b"\xdd\x00\x90\x00\x00" + b"\xc0" * 0x900000,
    "empty maps": b"\xdd\x00\x90\x00\x00" + b"\x80" * 0x900000,
    "a length that lies": b"\xdd\xff\xff\xff\xff",
    "an extension": msgpack.packb(msgpack.ExtType(5, b"x")),
    "a timestamp": msgpack.packb(msgpack.Timestamp(1, 2)),
    "a map with number keys": msgpack.packb([[], {1: 2}, {}]),
}


@pytest.mark.parametrize("name", MSGPACK_BOMBS)
def test_a_msgpack_bomb_is_refused_soon_and_in_little_memory(name):
    def refused():
        with pytest.raises(DecodeError):
            loads(MSGPACK_BOMBS[name], "application/x-msgpack", "binary", ["msgpack"])

    assert seconds_of(refused) < SECONDS
    assert peak_of(refused) < MEGABYTES


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
YAML_BOMBS = {
    "billion laughs": LAUGHS.encode(),
    "itself": b"&a [*a]",
    "merge keys": b"a: &a {k: v}\nb: {<<: [*a, *a]}",
    "deep": b"[" * 100_000,
    "deep blocks": b"\n".join(b" " * n + b"- " for n in range(300)) + b"x",
    "python": b"!!python/object/apply:os.system ['id']",
    "sexagesimal": b"a: " + b"1:" * 100_000 + b"1",
    "sexagesimal by its tag": b"a: !!int '" + b"1:" * 200_000 + b"1'",
    "too long": b"a: " + b"x" * 2 * 10**6,
}


@pytest.mark.parametrize("name", YAML_BOMBS)
def test_a_yaml_bomb_is_refused_soon_and_in_little_memory(name):
    def refused():
        with pytest.raises(DecodeError):
            loads(YAML_BOMBS[name], "application/x-yaml", "utf-8", ["yaml"])

    assert seconds_of(refused) < SECONDS
    assert peak_of(refused) < MEGABYTES


class Payload:
    def __reduce__(self):
        return (open, ("/tmp/skirret-was-here", "w"))


def test_a_pickle_is_never_opened_unless_it_is_accepted():
    body = pickle.dumps(((), {}, Payload()))
    for content_type in ("application/x-python-serialize", "application/data", "application/json", "pickle", ""):
        verdict = judge(body_of(body, content_type=content_type, content_encoding="binary"))
        assert isinstance(verdict, Malformed)


def test_the_head_of_protocol_1_in_pickle_is_not_opened_even_if_it_is_accepted():
    whole = json.loads(GOLDEN[0])
    whole.update({"headers": {}, "content-type": "application/x-python-serialize", "content-encoding": "binary"})
    whole["body"] = base64.b64encode(pickle.dumps({"task": "t", "id": "x", "args": Payload()})).decode()
    assert isinstance(envelope.head(json.dumps(whole).encode(), accept=peers.EVERY), Malformed)


BAD = {
    "no task": {"task": None},
    "an empty task": {"task": ""},
    "a task that is a list": {"task": ["t"]},
    "a long id": {"id": "x" * 1025},
    "an id with NUL": {"id": "a\0b"},
    "an id with a lone surrogate": {"id": "\ud800"},
    "any header with a lone surrogate": {"x-my": {"deep": ["\ud800"]}},
    "no moment": {"eta": "tomorrow"},
    "a moment that is a number": {"expires": 17},
    "the end of the calendar": {"eta": "9999-12-31T23:59:59-12:00"},
    "negative retries": {"retries": -1},
    "too many retries": {"retries": 10**6 + 1},
    "retries in text": {"retries": "3"},
    "an infinite limit": {"timelimit": [float("inf"), None]},
    "no number for a limit": {"timelimit": [float("nan"), None]},
    "a negative limit": {"timelimit": [None, -1]},
    "three limits": {"timelimit": [1, 2, 3]},
    "a group that is a list": {"group": ["g"]},
    "a group index in text": {"group_index": "1"},
    "stamped headers that are no list": {"stamped_headers": {"a": 1}},
    "an unknown compression": {"compression": "application/x-unknown"},
    "a compression that is a number": {"compression": 3},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_header_is_malformed_with_its_name(name):
    raw = with_headers(**BAD[name])
    assert isinstance(judge(raw), Malformed)
    if name not in ("a group index in text", "an unknown compression", "any header with a lone surrogate"):
        assert isinstance(envelope.head(raw), Malformed)  # the supervisor sees it before a child does


SHAPES = {
    "no object": b"[]",
    "null": b"null",
    "nothing": b"",
    "no properties": b'{"body":"","headers":{"task":"t","id":"x"}}',
    "properties in a list": b'{"body":"","headers":{"task":"t","id":"x"},"properties":[]}',
    "a body that is a number": body_of(b"[[],{},{}]").replace(b'"body": "', b'"body": 7, "x": "'),
    "a body that is no base64": body_of(b"").replace(b'"body": ""', b'"body": "!!!"'),
    "base64 with rubbish in it": GOLDEN[0].replace(b'"body": "', b'"body": " '),
    "an unknown body encoding": GOLDEN[0].replace(b'"base64"', b'"rot13"'),
    "an unknown content encoding": body_of(b"[[],{},{}]", content_encoding="utf-7"),
    "two parts": body_of(b"[[],{}]"),
    "args that are text": body_of(b'["ab",{},{}]'),
    "kwargs that are a list": body_of(b"[[],[],{}]"),
    "embed that is a list": body_of(b"[[],{},[]]"),
    "callbacks that are numbers": body_of(b'[[],{},{"callbacks":[1]}]'),
    "a chord that is text": body_of(b'[[],{},{"chord":"x"}]'),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_message_of_another_shape_is_malformed(name):
    assert isinstance(judge(SHAPES[name]), Malformed)


def test_a_message_of_more_than_the_bound_is_not_even_parsed():
    raw = GOLDEN[0]
    for verdict in (envelope.head(raw, max_bytes=len(raw) - 1), envelope.decode(raw, max_bytes=len(raw) - 1)):
        assert isinstance(verdict, Malformed)
        assert f"{len(raw)} bytes" in verdict.reason
    assert isinstance(envelope.head(raw, max_bytes=len(raw)), envelope.Head)


def test_the_excerpt_is_the_first_512_bytes_escaped():
    verdict = envelope.decode(b"\x1b[31m\n\xff" + b"x" * 1000)
    assert verdict.excerpt == "\\x1b[31m\\n\\xff" + "x" * 505


def test_a_repeated_key_counts_last_as_in_celery_and_is_refused_when_strict():
    raw = GOLDEN[0].replace(b'"task": "capapp.add"', b'"task": "other", "task": "capapp.add"')
    assert judge(raw).task == "capapp.add"
    verdict = judge(raw, STRICT)
    assert isinstance(verdict, Malformed)
    assert "repeated" in verdict.reason


def test_nan_and_free_text_pass_by_default_and_are_refused_when_strict():
    nan, free = body_of(b"[[NaN]" + EMBED), with_headers(id="order 17/ä")
    assert judge(nan).args[0] != judge(nan).args[0]
    assert judge(free).id == "order 17/ä"
    assert isinstance(judge(nan, STRICT), Malformed)
    assert isinstance(judge(free, STRICT), Malformed)
    assert isinstance(judge(body_of(b"[" * 65 + b"]" * 65), STRICT), Malformed)


@pytest.mark.parametrize(
    "value",
    [
        __import__("decimal").Decimal("1e999999999"),
        10**4400,
        [1] * 1_000_001,
        json.loads("[" * 257 + "]" * 257),
    ],
    ids=["decimal", "integer", "wide", "deep"],
)
def test_what_no_reader_would_take_is_refused_when_it_is_sent(value):
    with pytest.raises(EncodeError):
        task.encode(TaskMessage(task="t", id="x", args=(value,)))


def test_a_message_larger_than_the_setting_is_refused_when_it_is_sent():
    fits = TaskMessage(task="t", id="x", args=("y" * 700_000,))
    with pytest.raises(EncodeError, match="message_max_bytes"):
        task.encode(fits, max_bytes=10**6 // 2)
    with pytest.raises(EncodeError, match="message_max_bytes"):
        task.encode(fits, max_bytes=900_000)  # base64 makes it larger than that
    with pytest.raises(EncodeError, match="message_max_bytes"):
        task.encode(TaskMessage(task="t", id="x", headers={"big": "y" * 10**6}), max_bytes=10**6)
    assert isinstance(judge(_raw(task.encode(fits, max_bytes=10**6))), TaskMessage)


def _raw(sent: Envelope) -> bytes:
    from skirret.message import Publication, Route

    return envelope.encode(Publication(envelope=sent, route=Route(queue="q"), task_id="x"))


def test_headers_of_the_caller_that_would_break_the_message_are_refused():
    with pytest.raises(EncodeError):
        task.encode(TaskMessage(task="t", id="x", headers={"id": 5}))
    assert task.encode(TaskMessage(task="t", id="x", headers={"shadow": "s"})).headers["shadow"] == "s"


SMALL = limits.Limits(depth=3, nodes=20, digits=5)
BREACHES = {
    b"[[[]]]": None,
    b"[[[[]]]]": "deeper",
    b'[{"a":[]}]': None,
    b'[{"a":[{}]}]': "deeper",
    b"[[],[[]],[],[]]": None,
    b'["[[[[[[", "\\"[[[[", "\\\\"]': None,
    b'["\\\\",[[[[]]]]]': "deeper",
    b"[" + b"1," * 18 + b"1]": None,
    b"[" + b"1," * 40 + b"1]": "values",
    b'["' + b"," * 60 + b'"]': None,
    b"[12345, 12345]": None,
    b"[123456]" + b" " * 40: "digits",
    b'["123456"]' + b" " * 40: None,
}


@pytest.mark.parametrize("body", BREACHES)
@pytest.mark.parametrize("window", [1, 2, 3, 7, 1 << 16])
def test_the_bounds_are_exact_wherever_the_windows_fall(body, window, monkeypatch):
    monkeypatch.setattr(limits, "_WINDOW", window)
    monkeypatch.setattr("sys.get_int_max_str_digits", lambda: 0)
    found, wanted = limits.breach(body, SMALL), BREACHES[body]
    assert (found is None) == (wanted is None), found
    assert wanted is None or wanted in found


def test_bounds_hold_where_python_has_none(monkeypatch):
    monkeypatch.setattr("sys.get_int_max_str_digits", lambda: 0)
    with pytest.raises(DecodeError, match="digits"):
        dialect.loads(b"[" + b"9" * 5000 + b"]")
    assert dialect.loads(b'["' + b"9" * 5000 + b'"]') == ["9" * 5000]
