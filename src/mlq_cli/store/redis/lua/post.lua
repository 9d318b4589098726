--- post — add jobs that share their options.
-- in   client, serial (see lib/once.lua); queue, priority, due_at or delay, fields: name, value, …, own: each when said
--      asked, kinds: when some are calls, the functions that they ask for, and for each message the place in these, or 0
--      ARGV[2 …] the messages; with `own` before each an id of the caller's own
-- out  'ok', created, number      the first message's job has the number after this one, and so on; a job with an id of
--      its own that exists already keeps its number, and nothing of it is changed
-- Sending it again after a lost reply answers the same.
--@include call once job move bell

local stride = args.own and 2 or 1
local jobs = (#ARGV - 1) / stride
-- The first write takes memory, so a full Redis refuses the post as a whole and nothing is half done.
local number = redis.pcall('INCRBY', number_key, jobs)
local refused = type(number) == 'table' and number

local last
if refused then
  last = redis.call('GET', once_key(args.client))
else
  -- Remembered before it is done: one command keeps the new answer and gives the last one.
  number = number - jobs
  last = redis.call('SET', once_key(args.client), cmsgpack.pack(args.serial, number, jobs), 'EX', life, 'GET')
end
if last then
  local serial, before, created = cmsgpack.unpack(last)
  if serial == args.serial then
    if not refused then
      redis.call('INCRBY', number_key, -jobs)
      redis.call('SET', once_key(args.client), last, 'EX', life)
    end
    return {'ok', created, before}
  end
end
if refused then
  return refused
end

local queue, due_at = args.queue or 'default', args.due_at
if args.delay then
  due_at = now / 1000000 + args.delay
end
local state, score, step = QUEUED, queued_score(args.priority, number), 1
if due_at and due_at * 1000000 > now then
  state, score, step = SCHEDULED, math.floor(due_at * 1000000), 0
end
local fields, created = args.fields or {}, 0
local alike, calls = fields, {}
for kind, asked in ipairs(args.asked or {}) do
  calls[kind] = {FUNCTIONS, asked, unpack(alike)}
end
for i = 1, jobs do
  score = score + step
  if args.kinds then
    fields = calls[args.kinds[i]] or alike
  end
  if not args.own then
    add_job(string.format('%.0f', number + i), queue, state, score, ARGV[i + 1], unpack(fields))
    created = created + 1
  elseif redis.call('EXISTS', job_key(ARGV[2 * i])) == 0 then
    add_job(ARGV[2 * i], queue, state, score, ARGV[2 * i + 1], SEQ, number + i, unpack(fields))
    created = created + 1
  end
end
bring_in()

if redis.pcall('HINCRBY', stats_key(queue), 'posted', created) == created then  -- the first ever
  redis.call('SADD', queues_key, queue)
end
-- For a delayed job one token: an idle worker may be asleep for longer than it waits, and shall learn when to look.
ring(queue, state == QUEUED and created or 1)
if created < jobs then
  redis.call('SET', once_key(args.client), cmsgpack.pack(args.serial, number, created), 'EX', life)
end
return {'ok', created, number}
