-- Retention: forget ended jobs by age and by number, a few at a time. `args.retention` is {age, count, dead_age}, each
-- of them seconds, a number of jobs, or nothing for «keep indefinitely».

local function drop(queue, state, ids)
  for _, id in ipairs(ids) do
    leave(id, queue, state)
    forget_job(id)
  end
  take_out()
  return #ids
end

local function trim(queue, state, limit)
  local rule = args.retention or {}
  local key = state_key(queue, state)
  local age, most = rule.age, rule.count
  if state == DEAD then
    age, most = rule.dead_age, nil
  elseif string.sub(queue, 1, 1) == '_' then
    most = math.min(most or 1000, 1000)  -- our own callbacks are nobody's results
  end
  local forgotten = 0
  if age then
    forgotten = drop(queue, state, redis.call('ZRANGEBYSCORE', key, '-inf', now - age, 'LIMIT', 0, limit))
  end
  if most then
    local over = math.min(redis.call('ZCARD', key) - most, limit)
    if over > 0 then
      forgotten = forgotten + drop(queue, state, redis.call('ZRANGE', key, 0, over - 1))
    end
  end
  return forgotten
end
