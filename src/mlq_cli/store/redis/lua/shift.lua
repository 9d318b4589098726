--- shift — waiting jobs go over to another queue of the same namespace, in one step.
-- in   queue, to, count; client, serial (see lib/once.lua)
-- out  'ok', moved, looked at
-- moves queued → queued, scheduled → scheduled.
--@include call drain once job move stats bell

drain()
local again = remembered()
if again then
  return again
end

local moved, looked = 0, 0
local function take_over(state)
  local found = redis.call('ZRANGE', state_key(args.queue, state), 0, args.count - looked - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    leave(found[i], args.queue, state)
  end
  take_out()
  for i = 1, #found, 2 do
    if redis.call('HGET', job_key(found[i]), STATE) == state then  -- or its record is gone
      enter(found[i], args.to, state, found[i + 1], QUEUE, args.to)
      moved = moved + 1
    end
  end
  looked = looked + #found / 2
end

take_over(QUEUED)
if looked < args.count then
  take_over(SCHEDULED)
end
bring_in()
if moved > 0 then
  redis.call('SADD', queues_key, args.to)
  count(args.queue, 'moved', moved)
  count(args.to, 'posted', moved)
  ring(args.to, moved)
end
write_stats()
return remember({'ok', moved, looked})
