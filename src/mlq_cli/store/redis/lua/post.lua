--- post — add jobs that share their options.
-- in   client, serial (see lib/once.lua); queue, priority, due_at or delay; fields: name, value, …
--      ARGV[2 …] for each job: an id of the caller's own or '', the message
-- out  'ok', created, id, id, …      an id that exists already is returned and nothing is changed
-- Sending it again after a lost reply answers the same ids.
--@include call once job move stats bell

local again = remembered()
if again then
  return again
end

local jobs = (#ARGV - 1) / 2
-- The first write takes memory, so a full Redis refuses the post as a whole and nothing is half done.
local number = redis.call('INCRBY', number_key, jobs) - jobs
local due_at = args.due_at or (args.delay and now + args.delay)
local state = due_at and due_at > now and SCHEDULED or QUEUED
local answer = {'ok', 0}
local queue = args.queue

local function add(id, number, message, own)
  local score = state == QUEUED and queued_score(args.priority, number) or due_at
  if own then
    add_job(id, queue, state, score, message, SEQ, number, unpack(args.fields))
  else
    add_job(id, queue, state, score, message, unpack(args.fields))
  end
  answer[2] = answer[2] + 1
end

for i = 2, #ARGV, 2 do
  number = number + 1
  local id, message = ARGV[i], ARGV[i + 1]
  local own = id ~= ''
  if not own then
    id = string.format('%.0f', number)
  end
  if not own or redis.call('EXISTS', job_key(id)) == 0 then
    add(id, number, message, own)
  end
  answer[#answer + 1] = id
end

redis.call('SADD', queues_key, queue)
bring_in()
count(queue, 'posted', answer[2])
write_stats()
if state == QUEUED then
  ring(queue, answer[2])
else
  -- An idle worker may be asleep for longer than this job waits: let one look, so that it sleeps no longer than that.
  ring(queue, 1)
end
return remember(answer)
