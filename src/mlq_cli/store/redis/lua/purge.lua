--- purge — an operator throws jobs of a queue away, with their records.
-- in   queue, state, limit
-- out  'ok', purged, left
--@include call job move trim

local key = state_key(args.queue, args.state)
local gone = drop(args.queue, args.state, redis.call('ZRANGE', key, 0, args.limit - 1))
return {'ok', gone, redis.call('ZCARD', key)}
