--- embark — a move of a queue's waiting jobs begins, or one that broke off goes on.
-- in   queue, to (what tells its destination from all others), name (of that, for people)
-- out  'ok', word, epoch, held, name
--      word: ok, or elsewhere: jobs are held for another destination, of that name
--      epoch: what tells this move from those before it; held: jobs that those have held and not seen off
-- Sending it again begins once more, which is harmless: nothing has been done in the epoch before.
--@include call drain

drain()
local held = redis.call('ZCOUNT', state_key(args.queue, BLOCKED), 0, 0)
local before = redis.call('HMGET', leaving_key, args.queue .. ':to', args.queue .. ':name')
if held > 0 and before[1] ~= args.to then
  return {'ok', 'elsewhere', 0, held, before[2] or ''}
end
redis.call('HSET', leaving_key, args.queue .. ':to', args.to, args.queue .. ':name', args.name)
return {'ok', 'ok', redis.call('HINCRBY', leaving_key, args.queue .. ':epoch', 1), held, args.name}
