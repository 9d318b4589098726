--- await — a running job blocks until another one ends, or does so no more.
-- in   id, token: of the job that blocks; serial: which of its waits; other: the id of the job that it waits for, or
--      nothing when this wait is over
-- out  'ok', word, id, id, …       word: the letter of the state that the other is in, or
--      over: this wait is; missing: there is no such job; lost: this attempt is not the present one any more;
--      cycle: the other waits for this one, by way of these; deep: too many wait for each other to be sure of that
-- Sending it again is harmless. A job that is waited for comes first in its line: so jobs that block on each other run
-- depth first, and few of them hold an executor at a time.
--@include call drain job move

drain()
local MOST = 1000  -- jobs that are looked at for a cycle

-- What a job waits for, by the number of the wait. The field of an attempt that is over does not count.
local function waits_of(id)
  local job = redis.call('HMGET', job_key(id), STATE, TOKEN, AWAITS)
  local token, list = string.match(job[3] or '', '^(%S+)(.*)$')
  local waits = {}
  if job[1] == RUNNING and job[2] == token then
    for serial, other in string.gmatch(list, ' (%S+) (%S+)') do
      waits[serial] = other
    end
  end
  return waits, job[1] == RUNNING and job[2]
end

local own, token = waits_of(args.id)
if token ~= args.token then
  return {'ok', 'lost'}
end

local function note(other)
  local words = {token}
  own[args.serial] = other
  for serial, id in pairs(own) do
    words[#words + 1], words[#words + 2] = serial, id
  end
  if #words > 1 then
    redis.call('HSET', job_key(args.id), AWAITS, table.concat(words, ' '))
  else
    redis.call('HDEL', job_key(args.id), AWAITS)
  end
end

local other = args.other
local job = other and redis.call('HMGET', job_key(other), STATE, QUEUE, PRIORITY, SEQ) or {}
local state = job[1]
if not state or state == SUCCEEDED or state == DEAD or state == CANCELED then
  note(nil)
  return {'ok', other and (state or 'missing') or 'over'}
end

-- The ids along the waits that lead from the other one back here; nil when none do.
local function way_back()
  local before, found = {[other] = args.id}, {other}
  for i = 1, MOST do
    local at = found[i]
    if not at then
      return nil
    elseif at == args.id then
      local way = {at}
      for _ = 1, i do
        if way[1] == other then break end
        table.insert(way, 1, before[way[1]])
      end
      return 'cycle', way
    end
    for _, id in pairs((waits_of(at))) do
      if not before[id] then
        before[id], found[#found + 1] = at, id
      end
    end
  end
  return 'deep', {}
end

if own[args.serial] ~= other then
  local word, way = way_back()
  if word then
    note(nil)
    return {'ok', word, unpack(way)}
  end
  note(other)
end

if state == QUEUED then
  local queue = job[2] or 'default'
  local line = redis.call('ZRANGE', state_key(queue, QUEUED), 0, 0, 'WITHSCORES')
  local score = tonumber(redis.call('ZSCORE', state_key(queue, QUEUED), other))
  if score and line[1] ~= other and score >= queued_score(job[3], number_of(other, job[4])) then
    place(other, queue, line[2] - 1)
  end
end
return {'ok', state}
