--- sweep — one pass of the reaper: what is due, what is lost, what has been kept long enough, which worker is silent.
-- in   limit and offset (jobs a state and queue), lease, max_retries, timeout (s a job may run at all), retention
-- out  'ok', given back, promoted, forgotten, grace (s), more (1: there is more to look at, sweep again)
--      grace: how long the jobs that look lost are still left alone, 0 when none does
-- moves scheduled → queued, running → queued | dead.  Safe to run twice, and by many at once.
--@include drain call job move stats bell settle pulse due trim

local given, promoted, forgotten, more = 0, 0, 0, 0
local grace_left = grace(args.lease)
local withheld = false

-- Jobs that run longer than the operator allows, although their worker lives; it finds out by its next heartbeat.
-- One page of the running jobs a call: `offset` walks on while `more` is answered.
local function overdue(queue)
  local ids = {}
  for _, id in ipairs(redis.call('ZRANGE', state_key(queue, 'running'), args.offset, args.offset + args.limit - 1)) do
    local started = tonumber(redis.call('HGET', job_key(id), 'processing_started'))
    if started and now - started > args.timeout then
      ids[#ids + 1] = id
    end
  end
  return ids
end

for _, queue in ipairs(redis.call('SMEMBERS', queues_key)) do
  local due = promote(queue, args.limit)
  promoted = promoted + due
  local back = 0
  if args.timeout then
    if redis.call('ZCARD', state_key(queue, 'running')) > args.offset + args.limit then
      more = 1
    end
    back = give_back(queue, overdue(queue), 'JobTimeout', 'it ran longer than the reaper allows', args.max_retries)
  end
  if grace_left == 0 then
    back = back + give_back_lost(queue, args.limit, args.max_retries)
  elseif #due_ids(queue, 'running', 1) > 0 then
    withheld = true
  end
  given = given + back
  local gone = trim(queue, 'succeeded', args.limit) + trim(queue, 'canceled', args.limit) + trim(queue, 'dead', args.limit)
  forgotten = forgotten + gone
  if due >= args.limit or back >= args.limit or gone >= args.limit then
    more = 1
  end
end
redis.call('ZREMRANGEBYSCORE', workers_key, '-inf', now)
write_stats()
return {'ok', given, promoted, forgotten, withheld and tostring(grace_left) or '0', more}
