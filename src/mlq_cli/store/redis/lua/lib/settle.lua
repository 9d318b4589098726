-- How an attempt that did not succeed goes on, and what every ending has in common.
--
-- Three counters of the record decide, each against a limit of its own: `failures` (exceptions and timeouts, against
-- the job's or the worker's retries), `crashes` (the executor died, against max_crashes) and `retries` (the worker
-- vanished, or none had the function; against max_retries). `args.backoff`, `args.backoff_max`: seconds; `args.jitter`:
-- a random number from 0 to 1 by the caller, for Lua's own generator gives each call the same.
-- What is read of a job for every decision, and what only the rarer ones need. A record without its state counts as
-- none: an error in the middle of a call would take all its jobs down.
local function read_job(id)
  local values = redis.call('HMGET', job_key(id), STATE, TOKEN, QUEUE, CALLBACK, ERROR_TYPE, EMITTED)
  if not values[1] then
    return {id = id}
  end
  return {id = id, state = values[1], token = values[2], queue = values[3] or 'default', callback = values[4],
          error_type = values[5], emitted = values[6]}
end

local function read_more(job)
  local names = {SEQ, PRIORITY, SPENT, RETRIES_ALLOWED, FAILURES, CRASHES, RETRIES}
  local values = redis.call('HMGET', job_key(job.id), unpack(names))
  for i, name in ipairs(names) do
    job[name] = values[i]
  end
end

local told_any = false

-- A callback is a job of its own, so it is stored together with the outcome that it tells of.
--@rarely
local function post_callback(job, state, short)
  local id = string.format('%.0f', redis.call('INCR', number_key))
  local told = {url = job.callback, job_id = job.id, short_result = short, success = state == SUCCEEDED and 1 or 0}
  local more = redis.call('HMGET', job_key(job.id), CALLBACK_PUBLIC, CALLBACK_METHOD, SPENT, ERROR_TYPE, ERROR)
  told.public = more[1] and 1 or nil
  if more[2] then  -- not the original's GET, which says no more than that
    told.method, told.state, told.queue = more[2], NAMES[state], job.queue
    told.attempt = (tonumber(more[3]) or 0) + told.success
    told.error_type, told.error = more[4] or nil, more[5] or nil
  end
  local message = cmsgpack.pack(told)
  if not told_any then  -- whoever the bell wakes takes them all
    redis.call('SADD', queues_key, '_callbacks')
    ring('_callbacks', 1)
    told_any = true
  end
  add_job(id, '_callbacks', QUEUED, queued_score(0, tonumber(id)), message, RETRIES_ALLOWED, 2, TIMEOUT, 20)
  count('_callbacks', 'posted', 1)
end

-- The job has come to an end: succeeded, dead or canceled. Further hash fields follow.
local function end_job(job, state, short, ...)
  enter(job.id, job.queue, state, now, PROCESSING_FINISHED, stamp, ...)
  if state ~= SUCCEEDED then  -- the histogram of their runs tells how many succeeded
    count(job.queue, NAMES[state], 1)
  end
  if job.emitted then
    tell(job.id, state)
  end
  if job.callback then
    post_callback(job, state, short)
  end
end

-- From here on, what the old attempt says is refused.
local function drop_token(job)
  redis.call('HDEL', job_key(job.id), TOKEN, PROGRESS, AWAITS)
end

local function back_to_queue(job, ...)
  drop_token(job)
  enter(job.id, job.queue, QUEUED, queued_score(job[PRIORITY], number_of(job.id, job[SEQ])), ...)
  if job.emitted then
    tell(job.id, QUEUED)
  end
end

-- How many attempts are spent when the present one is over and did not succeed.
local function spent(job)
  return (tonumber(job[SPENT]) or 0) + 1
end

-- No attempt is spent: the job was not begun in earnest, and asks to come again in so many seconds.
--@rarely
local function put_off(job, seconds)
  redis.call('HDEL', job_key(job.id), PROGRESS, AWAITS)
  enter(job.id, job.queue, SCHEDULED, now + us(math.min(math.max(tonumber(seconds) or 1, 0), 3600)))
  if job.emitted then
    tell(job.id, SCHEDULED)
  end
  count(job.queue, 'released', 1)
  ring(job.queue, 1)
end

-- Count one more on `counter`; past `limit` the job is dead, otherwise it waits a little longer each time.
-- The token stays: the worker that settles may send this again after a lost reply, and has to be recognised.
local function try_again(job, counter, limit, error_type, message, traceback)
  local tries = (tonumber(job[counter]) or 0) + 1
  if tries > limit then
    end_job(job, DEAD, nil, counter, tries, SPENT, spent(job),
            ERROR_TYPE, error_type, ERROR, message, TRACEBACK, traceback)
    return
  end
  local wait = math.min(args.backoff * 2 ^ (tries - 1), args.backoff_max)
  wait = wait + wait * 0.2 * args.jitter
  redis.call('HDEL', job_key(job.id), PROGRESS, AWAITS)
  enter(job.id, job.queue, SCHEDULED, now + us(wait),
        counter, tries, SPENT, spent(job), ERROR_TYPE, error_type, ERROR, message, TRACEBACK, traceback)
  if job.emitted then
    tell(job.id, SCHEDULED)
  end
  count(job.queue, 'retried', 1)
  ring(job.queue, 1)  -- an idle worker may be asleep for longer than this job waits
end
