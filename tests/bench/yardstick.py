"""What Redis allows: a throw-away queue that makes the writes of ours and does nothing else.

    python -m yardstick        the worker: a thin parent and an isolated executor over a socketpair
    post, bulk                 one bare script for a job, or for 500

Per job a hash with state, token, worker, times and result, by names of one letter as ours; a fence check; sorted sets
for waiting and running, a list of the succeeded; statistics and one event a call. Left out is all that makes it
usable: heartbeats, timeouts, retries, priorities, delays, errors, callbacks, retention, sweeping, long messages.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from typing import Any

import msgpack
import redis
from hiredis import pack_command

ROOM = 100  # jobs that the executor has ahead

POST = b"""
local now, n = redis.call('TIME'), #ARGV
local at, id = now[1] * 1000000 + now[2], redis.call('INCRBY', 'y:id', n) - n
local stamp, line = string.format('%.0f', at), {}
for i, msg in ipairs(ARGV) do
  id = id + 1
  redis.call('HSET', 'y:' .. id, 's', 'q', 't', stamp, 'm', msg)
  line[2 * i - 1], line[2 * i] = id, id
end
redis.call('ZADD', 'y:queued', unpack(line))
redis.call('HINCRBY', 'y:stats', 'posted', n)
redis.call('LTRIM', 'y:bell', 0, 998)
redis.call('RPUSH', 'y:bell', '1')
return id
"""
CLAIM = b"""
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local ids = redis.call('ZRANGE', 'y:queued', 0, ARGV[1] - 1)
if #ids == 0 then return ids end
local answer, leases, waited = {}, {}, 0
local stamp, lease = string.format('%.0f', at), string.format('%.0f', at + 30000000)
for i, id in ipairs(ids) do
  local job = redis.call('HMGET', 'y:' .. id, 'm', 't')
  waited = waited + at - job[2]
  redis.call('HSET', 'y:' .. id, 's', 'r', 'w', 'yardstick', 'k', ARGV[2], 'b', stamp)
  leases[2 * i - 1], leases[2 * i] = lease, id
  answer[i] = cmsgpack.pack({id, job[1], ARGV[2]})
end
redis.call('ZREM', 'y:queued', unpack(ids))
redis.call('ZADD', 'y:running', unpack(leases))
redis.call('HINCRBY', 'y:stats', 'claimed', #ids)
redis.call('HINCRBY', 'y:stats', 'waited', waited)
return answer
"""
FINISH = b"""
local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000000 + now[2])
local ids, news = {}, {}
for i = 1, #ARGV, 3 do
  local id = ARGV[i]
  local job = redis.call('HMGET', 'y:' .. id, 's', 'k')
  if job[1] == 'r' and job[2] == ARGV[i + 1] then
    redis.call('HSET', 'y:' .. id, 's', 's', 'e', at, 'r', ARGV[i + 2])
    local n = #ids + 1
    ids[n], news[n] = id, id .. ' succeeded'
  end
end
redis.call('ZREM', 'y:running', unpack(ids))
redis.call('RPUSH', 'y:succeeded', unpack(ids))
redis.call('HINCRBY', 'y:stats', 'succeeded', #ids)
redis.call('PUBLISH', 'y:events', table.concat(news, '\\n'))
return #ids
"""


def begin() -> None:
    """Connect, and teach Redis the scripts."""
    global wire, post_sha, claim_sha, finish_sha
    wire = redis.from_url(os.environ["BENCH_REDIS"], protocol=2).connection_pool.get_connection()
    post_sha, claim_sha, finish_sha = (ask(("SCRIPT", "LOAD", body)) for body in (POST, CLAIM, FINISH))


def ask(command: tuple[Any, ...]) -> Any:
    """Send one command and return its answer."""
    wire.send_packed_command([pack_command(command)], check_health=False)
    return wire.read_response()


def post(msgs: Any) -> None:
    pack = msgpack.Packer().pack
    for msg in msgs:
        ask(("EVALSHA", post_sha, 0, pack(msg)))


def bulk(msgs: Any) -> None:
    pack, chunk = msgpack.Packer().pack, []
    for msg in msgs:
        chunk.append(pack(msg))
        if len(chunk) == 500:
            ask(("EVALSHA", post_sha, 0, *chunk))
            chunk = []
    if chunk:
        ask(("EVALSHA", post_sha, 0, *chunk))


def executor(sock: socket.socket) -> None:
    """Run what arrives until the parent goes; what arrived together is answered together."""
    from ticking import job

    unpacker, pack = msgpack.Unpacker(raw=True), msgpack.Packer().pack
    while data := sock.recv(1 << 16):
        unpacker.feed(data)
        sock.sendall(b"".join([pack((id, token, pack(job(msgpack.unpackb(msg))))) for id, msg, token in unpacker]))


def work() -> None:
    """Claim, hand out, hear, settle: one write a turn for what was done and what there is room for."""
    begin()
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        executor(theirs)
        os._exit(0)
    theirs.close()
    heard, room, done, asked = msgpack.Unpacker(), ROOM, [], []
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    poll.register(wire._sock, select.POLLIN)
    while True:
        if not asked and (done or room == ROOM):
            if done:
                flat = [word for outcome in done for word in outcome]
                asked.append(pack_command(("EVALSHA", finish_sha, 0, *flat)))
                done = []
            if room:
                asked.append(pack_command(("EVALSHA", claim_sha, 0, room, os.urandom(8).hex())))
            wire.send_packed_command([b"".join(asked)], check_health=False)
        for descriptor, _ in poll.poll():
            if descriptor == ours.fileno():
                if not (data := ours.recv(1 << 18)):
                    return
                heard.feed(data)
                outcomes = list(heard)
                done += outcomes
                room += len(outcomes)
            elif asked:
                answers = [wire.read_response() for _ in asked]
                asked = []
                if jobs := answers[-1] if isinstance(answers[-1], list) else []:
                    room -= len(jobs)
                    ours.sendall(b"".join(jobs))
                elif room == ROOM:
                    select.select([], [], [], 0.01)  # nothing to do; a doorbell is beyond a yardstick


if __name__ == "__main__":
    sys.exit(work())
