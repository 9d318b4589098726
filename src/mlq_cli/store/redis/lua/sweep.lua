--- sweep — one pass of the reaper over a queue: what is due, what is lost, what was kept long enough.
-- in   queue, limit (jobs a state), offset (into the running ones), lease, max_retries, retention,
--      timeout (s a job may run at all, or nothing)
-- out  'ok', given back, promoted, forgotten, grace (s), next offset
--      grace: how long jobs that look lost are still left alone, 0 when none does
--      next offset: where to look on, or -1 when all has been looked at
-- moves scheduled → queued, running → queued | dead.  Safe to run twice, and by many at once.
--@include call drain job move stats bell stream settle pulse due trim

drain()
local queue, limit = args.queue, args.limit
local grace_left = grace()
local next_offset = -1
local given = 0

-- Jobs that run longer than the operator allows, although their worker lives; it finds out by its next heartbeat.
-- One page of the running ones a call; what is given back has left them, so the next page begins that much earlier.
if args.timeout then
  local key, late = state_key(queue, RUNNING), {}
  local page = redis.call('ZRANGE', key, args.offset, args.offset + limit - 1)
  for _, id in ipairs(page) do
    local started = tonumber(redis.call('HGET', job_key(id), PROCESSING_STARTED))
    if started and now - started > us(args.timeout) then
      late[#late + 1] = id
    end
  end
  given = give_back(queue, late, 'JobTimeout', 'it ran longer than the reaper allows', args.max_retries)
  if #page == limit then
    next_offset = args.offset + #page - given
  end
end

local withheld = 0
if grace_left == 0 then
  local lost = give_back_lost(queue, limit, args.max_retries)
  given = given + lost
  if lost == limit then
    next_offset = math.max(next_offset, 0)
  end
elseif #due_ids(queue, RUNNING, 1) > 0 then
  withheld = grace_left
end

local promoted = promote(queue, limit)
local forgotten = trim(queue, SUCCEEDED, limit) + trim(queue, CANCELED, limit) + trim(queue, DEAD, limit)
if promoted == limit or forgotten >= limit then
  next_offset = math.max(next_offset, 0)
end

redis.call('ZREMRANGEBYSCORE', workers_key, '-inf', now)
write_stats()
return {'ok', given, promoted, forgotten, tostring(withheld / 1000000), next_offset}
