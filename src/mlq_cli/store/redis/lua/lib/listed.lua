-- Whether an audited job is where its record says, and an entry still where it was seen.
--
-- A list has no index: the walk reads it through before it looks at records, and marks a record whose id was not in it
-- as `new`. The word of the walk holds for what had ended when it began.
local NEAR = 1000  -- entries at the ends of a list that are looked at for one

-- Whoever succeeds while the walk goes on may be in a list after it was read: among the newest, or the newly repaired.
local function is_listed(job, at)
  local key = state_key(job.queue, job.state)
  if job.state ~= SUCCEEDED then
    return redis.call('ZSCORE', key, job.id)
  elseif at ~= 'new' or not args.read[job.queue] or (tonumber(job[PROCESSING_FINISHED]) or now) >= us(args.began) then
    return true
  end
  return redis.call('LPOS', key, job.id, 'MAXLEN', NEAR) or redis.call('LPOS', key, job.id, 'RANK', -1, 'MAXLEN', NEAR)
end

-- The score of an entry, or 0 for one of a list; nil when it is not there any more.
local function find_entry(id, queue, state, at)
  if not is_set(queue, state) then
    return nil
  elseif state ~= SUCCEEDED then
    return tonumber(redis.call('ZSCORE', state_key(queue, state), id))
  end
  return redis.call('LINDEX', state_key(queue, state), at) == id and 0 or nil
end
