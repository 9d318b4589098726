"""The throw-away that mlq was designed by, rebuilt: what its drain is to be measured against.

    python -m throwaway        the worker

As the yardstick, but for what it writes, which is what was thought of at the time: a hash with names in full and the
number of attempts, sorted sets for the ended too, and an event for each job.
"""

from __future__ import annotations

import sys

import yardstick
from yardstick import bulk, post

__all__ = ["begin", "bulk", "post"]

POST = b"""
local now, n = redis.call('TIME'), #ARGV
local at, id = string.format('%d.%06d', now[1], now[2]), redis.call('INCRBY', 'y:id', n) - n
local line = {}
for i, msg in ipairs(ARGV) do
  id = id + 1
  redis.call('HSET', 'y:job:' .. id, 'state', 'queued', 'queue', 'default', 'timestamp', at, 'msg', msg)
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
local at = string.format('%d.%06d', now[1], now[2])
local ids = redis.call('ZRANGE', 'y:queued', 0, ARGV[1] - 1)
if #ids == 0 then return ids end
local answer, leases, waited = {}, {}, 0
for i, id in ipairs(ids) do
  local job = redis.call('HMGET', 'y:job:' .. id, 'msg', 'attempt', 'timestamp')
  waited = waited + at - job[3]
  redis.call('HSET', 'y:job:' .. id, 'state', 'running', 'worker', 'yardstick', 'token', ARGV[2],
             'attempt', (job[2] or 0) + 1, 'processing_started', at)
  leases[2 * i - 1], leases[2 * i] = now[1] + 30, id
  answer[i] = cmsgpack.pack({id, job[1], ARGV[2]})
end
redis.call('ZREM', 'y:queued', unpack(ids))
redis.call('ZADD', 'y:running', unpack(leases))
redis.call('HINCRBY', 'y:stats', 'claimed', #ids)
redis.call('HINCRBYFLOAT', 'y:stats', 'wait_seconds', waited)
return answer
"""
FINISH = b"""
local now = redis.call('TIME')
local at = string.format('%d.%06d', now[1], now[2])
local ids, ended = {}, {}
for i = 1, #ARGV, 3 do
  local id = ARGV[i]
  local job = redis.call('HMGET', 'y:job:' .. id, 'state', 'token')
  if job[1] == 'running' and job[2] == ARGV[i + 1] then
    redis.call('HSET', 'y:job:' .. id, 'state', 'succeeded', 'processing_finished', at, 'result', ARGV[i + 2])
    redis.call('PUBLISH', 'y:events', id .. ' succeeded')
    local n = #ids + 1
    ids[n], ended[2 * n - 1], ended[2 * n] = id, at, id
  end
end
redis.call('ZREM', 'y:running', unpack(ids))
redis.call('ZADD', 'y:succeeded', unpack(ended))
redis.call('HINCRBY', 'y:stats', 'succeeded', #ids)
return #ids
"""

yardstick.POST, yardstick.CLAIM, yardstick.FINISH = POST, CLAIM, FINISH
begin = yardstick.begin


if __name__ == "__main__":
    sys.exit(yardstick.work())
