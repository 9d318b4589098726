-- Jobs whose time has come: scheduled ones become queued, running ones without a lease are given back.
-- Bounded by `limit`; called by every claim, so that mlq works with no reaper alive, and by the reaper's sweep.

local function due_ids(queue, state, limit)
  return redis.call('ZRANGEBYSCORE', state_key(queue, state), '-inf', now, 'LIMIT', 0, limit)
end

-- When the next job of a state is due; nil when there is none.
local function next_of(queue, state)
  return tonumber(redis.call('ZRANGE', state_key(queue, state), 0, 0, 'WITHSCORES')[2])
end

-- Take these ids out of `state` and call `then_do` for each that really is in it: an entry can outlive its record.
local function move_out(queue, state, ids, then_do)
  for _, id in ipairs(ids) do
    leave(id, queue, state)
  end
  take_out()
  for _, id in ipairs(ids) do
    local job = read_job(id)
    if job.state == state then
      then_do(job)
    end
  end
  bring_in()
  return #ids
end

-- Both ring the bell: whoever calls this takes only what it has room for.
local function promote(queue, limit)
  local found = redis.call('ZRANGEBYSCORE', state_key(queue, SCHEDULED), '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
  local ids, due_at = {}, {}
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    due_at[found[i]] = found[i + 1]
  end
  local due = move_out(queue, SCHEDULED, ids, function(job)
    read_more(job)
    back_to_queue(job, QUEUED_AT, due_at[job.id])  -- it waits since then, though nobody has looked
  end)
  ring(queue, due)
  return due
end

-- `ids` are running and shall not be any more: back to the queue, or dead after max_retries of this.
local function give_back(queue, ids, error_type, message, max_retries)
  local back = move_out(queue, RUNNING, ids, function(job)
    read_more(job)
    count(queue, 'lost', 1)
    drop_token(job)  -- whoever still runs it shall be told so, also when this was its last chance
    local retries = (tonumber(job[RETRIES]) or 0) + 1
    local why = {RETRIES, retries, SPENT, spent(job), ERROR_TYPE, error_type, ERROR, message, TRACEBACK, ''}
    if retries > max_retries then
      end_job(job, DEAD, nil, unpack(why))
    else
      back_to_queue(job, QUEUED_AT, stamp, unpack(why))
    end
  end)
  ring(queue, back)
  return back
end

local function give_back_lost(queue, limit, max_retries)
  return give_back(queue, due_ids(queue, RUNNING, limit), 'WorkerLost', 'its worker vanished', max_retries)
end
