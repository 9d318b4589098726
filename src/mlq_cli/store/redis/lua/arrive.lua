--- arrive — jobs that wait elsewhere come into a queue, each of them once.
-- in   queue; source (whose jobs), epoch (of the move; nothing for a copy), fresh; client, serial (see lib/once.lua)
--      ARGV[2 …] for each: id there, origin, two ids wanted here, due, message, fields: msgpack of name, value, …
--      ('' for an id that is not wanted, and for the time of a queued job)
-- out  'ok', word, created       word: ok, or superseded: a later move of theirs has come by
-- A move that broke off sends again what it may have sent already, be it that it ran and was forgotten since. So the ids
-- are kept that came and may still be held there: all since there was last nothing but `fresh` ones.
--@include call once job move bell

local again = remembered()
if again then
  return again
end
local queue, came, kept_ids = args.queue, {}, {}
local receipt = args.epoch and redis.call('HGET', arrived_key, args.source)
if receipt then
  local epoch, ids = cmsgpack.unpack(receipt)
  if epoch > args.epoch then
    return {'ok', 'superseded', 0}
  elseif not args.fresh then
    kept_ids = ids
    for _, id in ipairs(ids) do
      came[id] = true
    end
  end
end

-- The first write takes memory, so a full Redis refuses them as a whole and nothing is half done.
local jobs = (#ARGV - 1) / 7
local number = redis.call('INCRBY', number_key, jobs) - jobs

-- The first id of those wanted that is free, or a number. Nothing when the job is here already.
local function choose(i, origin)
  for j = i + 2, i + 3 do
    local id = ARGV[j]
    local there = id ~= '' and redis.call('HMGET', job_key(id), STATE, ORIGIN)
    if there and not there[1] then
      return id
    elseif there and there[2] == origin then
      return nil
    end
  end
  return string.format('%.0f', number)
end

local created, queued = 0, 0
for i = 2, #ARGV, 7 do
  number = number + 1
  local origin, due_at = ARGV[i + 1], tonumber(ARGV[i + 4])
  local id = not came[ARGV[i]] and choose(i, origin)
  if id then
    local fields, priority = cmsgpack.unpack(ARGV[i + 6]), 0
    for j = 1, #fields, 2 do
      priority = fields[j] == PRIORITY and fields[j + 1] or priority
    end
    local n = #fields
    fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = ORIGIN, origin, SEQ, number
    if due_at and due_at > now then
      add_job(id, queue, SCHEDULED, due_at, ARGV[i + 5], unpack(fields))
    else
      if due_at then
        fields[n + 5], fields[n + 6] = QUEUED_AT, ARGV[i + 4]
      end
      add_job(id, queue, QUEUED, queued_score(priority, number), ARGV[i + 5], unpack(fields))
      queued = queued + 1
    end
    created = created + 1
  end
  if not came[ARGV[i]] then
    kept_ids[#kept_ids + 1] = ARGV[i]
  end
end
bring_in()
if args.epoch then
  redis.call('HSET', arrived_key, args.source, cmsgpack.pack(args.epoch, kept_ids))
end
redis.call('SADD', queues_key, queue)
redis.pcall('HINCRBY', stats_key(queue), 'posted', created)
ring(queue, queued > 0 and queued or 1)  -- for delayed ones a token: who is asleep shall learn when to look
return remember({'ok', 'ok', created})
