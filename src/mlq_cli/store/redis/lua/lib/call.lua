-- What every call begins with: the key prefix, the named arguments, the clock.
--
-- KEYS[1] is the prefix `mlq:{namespace}:`; all keys share its hash tag, so one script may touch all of them.
-- ARGV[1] is a msgpack table of small named values. What people posted follows as opaque bytes and is never decoded.
-- Not called `arg`: Lua 5.1 hides that name inside functions with `...`.
local args = cmsgpack.unpack(ARGV[1])

-- Whole microseconds of so many seconds: how instants and durations are kept, for Redis stores integers best.
local function us(seconds)
  return math.floor(seconds * 1000000 + 0.5)
end

-- Redis' clock is the only one. Tests send `now` to step through a lease without sleeping. `stamp` is `now` as text.
local now, stamp
if args.now then
  now = math.floor(args.now * 1000000 + 0.5)
  stamp = string.format('%.0f', now)
else
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
  stamp = time[1] .. string.sub('00000' .. time[2], -6)
end

-- Lua's stack holds some 8000 values; lists go to Redis in parts well below that.
local PART = 1000

local function in_parts(command, key, list)
  for first = 1, #list, PART do
    redis.call(command, key, unpack(list, first, math.min(first + PART - 1, #list)))
  end
end
