--- post — add jobs that share their options.
-- in   client, serial (see lib/once.lua); queue, priority, due_at or delay, fields: name, value, …, own: each when said
--      ARGV[2 …] the messages; with `own` before each an id of the caller's own
-- out  'ok', created, number      the first message's job has the number after this one, and so on; a job with an id of
--      its own that exists already keeps its number, and nothing of it is changed
-- Sending it again after a lost reply answers the same.
--@include call once job move stats bell

local stride = args.own and 2 or 1
local jobs = (#ARGV - 1) / stride
-- The first write takes memory, so a full Redis refuses the post as a whole and nothing is half done.
local number = redis.pcall('INCRBY', number_key, jobs)
local refused = type(number) == 'table' and number

-- Remembered before it is done: one command keeps the new answer and gives the last one.
local function remember_post(created)
  local packed = cmsgpack.pack(args.serial, number, created)
  return redis.call('SET', once_key(args.client), packed, 'EX', life(), 'GET')
end

local last
if refused then
  last = redis.call('GET', once_key(args.client))
else
  number = number - jobs
  last = remember_post(jobs)
end
if last then
  local serial, before, created = cmsgpack.unpack(last)
  if serial == args.serial then
    if not refused then
      redis.call('INCRBY', number_key, -jobs)
      number = before
      remember_post(created)
    end
    return {'ok', created, before}
  end
end
if refused then
  return refused
end

local queue, due_at = args.queue or 'default', args.due_at or (args.delay and now + args.delay)
local state = due_at and due_at > now and SCHEDULED or QUEUED
local score, fields = due_at, args.fields or {}
local created = 0
for i = 1, jobs do
  local place = number + i
  if state == QUEUED then
    score = queued_score(args.priority, place)
  end
  if not args.own then
    add_job(string.format('%.0f', place), queue, state, score, ARGV[i + 1], unpack(fields))
    created = created + 1
  elseif redis.call('EXISTS', job_key(ARGV[2 * i])) == 0 then
    add_job(ARGV[2 * i], queue, state, score, ARGV[2 * i + 1], SEQ, place, unpack(fields))
    created = created + 1
  end
end
bring_in()

if count_now(queue, 'posted', created) == created then  -- the first ever
  redis.call('SADD', queues_key, queue)
end
-- For a delayed job one token: an idle worker may be asleep for longer than it waits, and shall learn when to look.
ring(queue, state == QUEUED and created or 1)
if created < jobs then
  remember_post(created)
end
return {'ok', created, number}
