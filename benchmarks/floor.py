"""The floor: as little as a safe worker can do. It shows what the shape costs, and so what policy costs above it.

    python -m benchmarks.floor CHILDREN

A supervisor takes batches by one script that moves messages to a hash of held ones, decodes their heads, and hands them
to children over socket pairs; the children decode the body, call, and encode the result; the supervisor settles batches
by one script that stores the results, publishes them and forgets the held messages. There are no retries, limits,
leases or logs. No write of the supervisor blocks, so that large results cannot wedge it: it always reads.
"""

from __future__ import annotations

import base64
import collections
import os
import queue
import selectors
import socket
import struct
import sys
import threading
import time
from typing import Any

import msgspec
import redis

from benchmarks import work
from benchmarks.peer import redis_url

QUEUE = "floor"
HELD = "floor.held"
RESULT = "floor-result-"
BATCH = 128  # messages a child
MOST = 2000  # messages in one script call, whose arguments Lua must unpack
BATCH_BYTES = 4 << 20
READ = 1 << 18
SETTLED_TOGETHER = 1000
FLUSHED = 0.01  # seconds for which a child keeps a result to itself
EMPTY = 0.002  # seconds between two looks at an empty queue
TASK = struct.Struct("<III")  # number, lengths of id and body
RESULT_HEAD = struct.Struct("<II")  # number, length

TAKE = """
local messages = redis.call('RPOP', KEYS[1], ARGV[1])
if not messages then return nil end
local held = {}
for place = 1, #messages do
  held[#held + 1] = tonumber(ARGV[2]) + place
  held[#held + 1] = messages[place]
end
redis.call('HSET', KEYS[2], unpack(held))
return messages
"""
SETTLE = """
local done = {}
for place = 1, #ARGV, 3 do
  if redis.call('HEXISTS', KEYS[1], ARGV[place]) == 1 then
    redis.call('SET', ARGV[place + 1], ARGV[place + 2], 'EX', 86400)
    redis.call('PUBLISH', ARGV[place + 1], ARGV[place + 2])
    done[#done + 1] = ARGV[place]
  end
end
if #done > 0 then redis.call('HDEL', KEYS[1], unpack(done)) end
return #done
"""


class Head(msgspec.Struct, gc=False):
    """What a worker needs to know of a task's headers."""

    task: str
    id: str
    eta: str | None = None
    expires: str | None = None
    retries: int = 0


class Message(msgspec.Struct, gc=False):
    """A message as Celery writes it, decoded in part."""

    body: str
    headers: Head


def child(line: socket.socket) -> None:
    """Run what arrives until the line ends."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    buffer = bytearray()
    while data := line.recv(READ):
        buffer += data
        sent = time.monotonic()
        done: list[bytes] = []
        at = 0
        while len(buffer) - at >= TASK.size:
            number, id_length, length = TASK.unpack_from(buffer, at)
            start = at + TASK.size
            end = start + id_length + length
            if len(buffer) < end:
                break
            task_id = buffer[start : start + id_length].decode()
            args, kwargs, _ = decode(base64.b64decode(buffer[start + id_length : end]))
            result = encode({
                "status": "SUCCESS", "result": work.echo(*args, **kwargs), "traceback": None, "children": [],
                "date_done": "2026-01-01T00:00:00+00:00", "task_id": task_id,
            })  # fmt: skip
            done += (RESULT_HEAD.pack(number, len(result)), result)
            at = end
            if (now := time.monotonic()) - sent > FLUSHED:
                line.sendall(b"".join(done))
                done, sent = [], now
        del buffer[:at]
        if done:
            line.sendall(b"".join(done))  # may block: the supervisor reads whatever happens


class Line:
    """The supervisor's side of one child."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        if os.fork() == 0:
            self.socket.close()
            child(theirs)
            os._exit(0)
        theirs.close()
        self.socket.setblocking(False)
        self.out = bytearray()
        self.arrived = bytearray()
        self.held = 0


class Supervisor:
    """One loop over the children's lines, and a thread each to take and to settle."""

    def __init__(self, children: int) -> None:
        self.lines = [Line() for _ in range(children)]  # forked before any thread
        self.taken: collections.deque[tuple[int, list[bytes]]] = collections.deque()
        self.waiting: collections.deque[tuple[int, Message]] = collections.deque()
        self.ids: dict[int, str] = {}
        self.done: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self.most = min(MOST, BATCH * children)
        self.room = threading.Semaphore(2)
        self.unsettled = threading.Semaphore(self.most * 4)
        self.bell, self.rope = os.pipe()
        os.set_blocking(self.bell, False)
        self.decode = msgspec.json.Decoder(Message).decode

    def take(self) -> None:
        """Thread: keep two batches ahead."""
        script = redis.Redis.from_url(redis_url()).register_script(TAKE)
        number, count = 0, self.most
        while True:
            self.room.acquire()
            while not (messages := script(keys=[QUEUE, HELD], args=[count, number])):
                time.sleep(EMPTY)
            for _ in messages:
                self.unsettled.acquire()
            self.taken.append((number, messages))
            os.write(self.rope, b"x")
            number += len(messages)
            count = max(1, min(self.most, BATCH_BYTES // max(1, sum(map(len, messages)) // len(messages))))

    def settle(self) -> None:
        """Thread: store what is done, as much as there is."""
        script = redis.Redis.from_url(redis_url()).register_script(SETTLE)
        while True:
            triples = self.done.get()
            while len(triples) < 3 * SETTLED_TOGETHER and not self.done.empty():
                triples += self.done.get()
            for start in range(0, len(triples), 3 * SETTLED_TOGETHER):
                script(keys=[HELD], args=triples[start : start + 3 * SETTLED_TOGETHER])
            self.unsettled.release(len(triples) // 3)

    def read(self, line: Line) -> None:
        """Take in the results of one child."""
        data = line.socket.recv(READ)
        if not data:
            sys.exit("a child has ended")
        line.arrived += data
        triples: list[Any] = []
        at = 0
        while len(line.arrived) - at >= RESULT_HEAD.size:
            number, length = RESULT_HEAD.unpack_from(line.arrived, at)
            start = at + RESULT_HEAD.size
            if len(line.arrived) < start + length:
                break
            triples += (number, RESULT + self.ids.pop(number), bytes(line.arrived[start : start + length]))
            at = start + length
            line.held -= 1
        del line.arrived[:at]
        if triples:
            self.done.put(triples)

    def fill(self, line: Line) -> None:
        """Hand a child more, when it has worked off half, and write what its socket takes."""
        if line.held <= BATCH // 2 and not line.out:
            while self.waiting and line.held < BATCH and len(line.out) < BATCH_BYTES:
                number, message = self.waiting.popleft()
                self.ids[number] = message.headers.id
                task_id, body = message.headers.id.encode(), message.body.encode()
                line.out += TASK.pack(number, len(task_id), len(body)) + task_id + body
                line.held += 1
        if line.out:
            try:
                sent = line.socket.send(line.out)
            except BlockingIOError:
                return
            del line.out[:sent]

    def run(self) -> None:
        """Until the process is ended."""
        for work_of_thread in (self.take, self.settle):
            threading.Thread(target=work_of_thread, daemon=True).start()
        selector = selectors.DefaultSelector()
        selector.register(self.bell, selectors.EVENT_READ, None)
        for line in self.lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
        while True:
            for key, events in selector.select():
                if key.data is None:
                    os.read(self.bell, 100)
                elif events & selectors.EVENT_READ:
                    self.read(key.data)
            while self.taken and len(self.waiting) < self.most:
                number, messages = self.taken.popleft()
                self.waiting.extend((number + place, self.decode(raw)) for place, raw in enumerate(messages, 1))
                self.room.release()
            for line in self.lines:
                self.fill(line)
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.out else 0)
                if selector.get_key(line.socket).events != wanted:
                    selector.modify(line.socket, wanted, line)


if __name__ == "__main__":
    Supervisor(int(sys.argv[1])).run()
