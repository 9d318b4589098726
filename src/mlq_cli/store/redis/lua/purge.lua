--- purge — an operator throws jobs of a queue away, with their records.
-- in   queue, state, limit; client, serial (see lib/once.lua)
-- out  'ok', purged, left
--@include call drain once job move trim

local again = remembered()
if again then
  return again
end

local key = state_key(args.queue, args.state)
local purged = drop(args.queue, args.state, redis.call('ZRANGE', key, 0, args.limit - 1))
return remember({'ok', purged, redis.call('ZCARD', key)})
