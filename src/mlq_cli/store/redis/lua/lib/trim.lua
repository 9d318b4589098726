-- Retention: forget ended jobs by age and by number, a few at a time. `args.retention` is {age, count, dead_age}, each
-- of them seconds, a number of jobs, or nothing for «keep indefinitely».

local function oldest(queue, state, number)
  return redis.call(state == SUCCEEDED and 'LRANGE' or 'ZRANGE', state_key(queue, state), 0, number - 1)
end

local function size(queue, state)
  return redis.call(state == SUCCEEDED and 'LLEN' or 'ZCARD', state_key(queue, state))
end

-- Those that ended before `instant`, oldest first. Where a clock was set back, some stay until those before them go.
local function ended_before(queue, state, instant, limit)
  if state ~= SUCCEEDED then
    return redis.call('ZRANGEBYSCORE', state_key(queue, state), '-inf', instant, 'LIMIT', 0, limit)
  end
  local ids = {}
  for number = 1, 2 do  -- first the very oldest, for mostly it is to be kept
    for i, id in ipairs(oldest(queue, state, number == 1 and 1 or limit)) do
      local job = redis.call('HMGET', job_key(id), STATE, PROCESSING_FINISHED)
      if job[1] and (job[1] ~= SUCCEEDED or (tonumber(job[2]) or 0) > instant) then
        return ids
      end
      ids[i] = id
    end
  end
  return ids
end

-- `ids` are the oldest of theirs.
local function drop(queue, state, ids)
  if state == SUCCEEDED and #ids > 0 then
    leave_oldest(queue, #ids)
  end
  for _, id in ipairs(ids) do
    if state ~= SUCCEEDED then
      leave(id, queue, state)
    end
    forget_job(id)
  end
  take_out()
  return #ids
end

local function has_retention(queue)
  return next(args.retention or {}) or string.sub(queue, 1, 1) == '_'
end

--@rarely
local function trim(queue, state, limit)
  local rule = args.retention or {}
  local age, most = rule.age, rule.count
  if state == DEAD then
    age, most = rule.dead_age, nil
  elseif string.sub(queue, 1, 1) == '_' then
    most = math.min(most or 1000, 1000)  -- our own callbacks are nobody's results
  end
  local forgotten = 0
  if age then
    forgotten = drop(queue, state, ended_before(queue, state, now - us(age), limit))
  end
  if most then
    local over = math.min(size(queue, state) - most, limit)
    if over > 0 then
      forgotten = forgotten + drop(queue, state, oldest(queue, state, over))
    end
  end
  return forgotten
end
