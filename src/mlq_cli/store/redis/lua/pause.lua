--- pause — stop handing out the jobs of a queue, or go on with it.
-- in   queue, paused (true or false)
-- out  'ok', jobs waiting
--@include call drain bell

drain()
local waiting = redis.call('ZCARD', state_key(args.queue, QUEUED))
if args.paused then
  redis.call('SADD', paused_key, args.queue)
else
  redis.call('SREM', paused_key, args.queue)
  ring(args.queue, waiting)
end
return {'ok', waiting}
