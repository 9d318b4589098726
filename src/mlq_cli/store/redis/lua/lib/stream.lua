-- What those read who follow a job: a stream of what it emits, how far it says it is, and how its state changes.
--
-- The first part or progress makes it, so that other jobs cost nothing. From then on the field `emitted` of the record
-- says that there is one, and how many parts of the present attempt were taken: what is sent again after a lost reply
-- is not appended again. `k` is what an entry is (layout.py), `a` the attempt, `v` the value.
local ENTRIES = 10000  -- that a stream keeps, about
local MANY_BYTES = 16777216  -- of parts and progress that it keeps, about
local HEAD = 64  -- bytes that an entry has beside its value
local LATE = 100  -- entries over the limit after which it is cut
local AT_ONCE = 65536  -- bytes that are looked at together, about, when it is cut
local FOLLOWED = 3600  -- seconds for which it stays when the job has ended
local TEXT = 1000  -- bytes of an error's message

local function append(id, kind, attempt, value)
  redis.call('XADD', stream_key(id), '*', 'k', kind, 'a', attempt, 'v', value)
end

-- What is known of a job that says something, for `say` and `said`.
local function speaker(id)
  local job = redis.call('HMGET', job_key(id), STATE, TOKEN, SPENT, EMITTED, STREAMED, PROGRESS)
  return {id = id, state = job[1], token = job[2], attempt = (tonumber(job[3]) or 0) + 1, emitted = tonumber(job[4]),
          bytes = tonumber(job[5]) or 0, progress = job[6]}
end

local function say(job, kind, value)
  if not job.emitted then
    job.emitted = 0
    append(job.id, 's', job.attempt, RUNNING)
  end
  append(job.id, kind, job.attempt, value)
  job.bytes = job.bytes + #value + HEAD
end

-- Cut the oldest off where there is too much: of entries a few, of bytes a quarter, so that it is seldom to be done.
--@rarely
local function cut(job, entries)
  local key, page = stream_key(job.id), 4
  local most_bytes = job.bytes > MANY_BYTES and MANY_BYTES * 3 / 4 or MANY_BYTES
  for _ = 1, entries do
    if entries <= ENTRIES and job.bytes <= most_bytes then
      break
    end
    local bytes, oldest = 0, redis.call('XRANGE', key, '-', '+', 'COUNT', page)
    for _, entry in ipairs(oldest) do
      local fields = entry[2]
      bytes = bytes + (fields[2] ~= 's' and fields[2] ~= 'r' and #fields[6] + HEAD or 0)
    end
    entries = entries - #oldest
    redis.call('XTRIM', key, 'MAXLEN', entries)
    job.bytes = math.max(0, job.bytes - bytes)
    page = bytes < AT_ONCE and math.min(page * 2, LATE) or page
  end
end

-- All was said that this call had to say.
local function said(job, ...)
  local entries = redis.call('XLEN', stream_key(job.id))
  if entries >= ENTRIES + LATE or job.bytes > MANY_BYTES then
    cut(job, entries)
  end
  redis.call('HSET', job_key(job.id), EMITTED, job.emitted, STREAMED, job.bytes, ...)
end

-- A job that has a stream is in another state now; its record says that already.
--@rarely
local function tell(id, state)
  local job = redis.call('HMGET', job_key(id), SPENT, ERROR_TYPE, ERROR)
  local attempt, why = tonumber(job[1]) or 0, ''
  if state == RUNNING or state == SUCCEEDED then
    attempt = attempt + 1
  elseif job[2] then
    why = job[2] .. (job[3] and job[3] ~= '' and ': ' .. string.sub(job[3], 1, TEXT) or '')
  end
  append(id, 's', attempt, state .. why)
  redis.call('XTRIM', stream_key(id), 'MAXLEN', '~', ENTRIES + 2 * LATE)  -- should it never speak again, and fail for ever
  if state == SUCCEEDED or state == DEAD or state == CANCELED then
    redis.call('EXPIRE', stream_key(id), FOLLOWED)
  else
    redis.call('PERSIST', stream_key(id))
    news[#news + 1] = id .. ' ' .. NAMES[state]  -- the others are said by `enter`
  end
end

-- The next attempt of a job that has a stream begins: what the one before has emitted does not count any more.
--@rarely
local function begin_again(id, job)
  if job[EMITTED] ~= '0' then
    append(id, 'r', (tonumber(job[SPENT]) or 0) + 1, '')
    redis.call('HSET', job_key(id), EMITTED, 0)
  end
  tell(id, RUNNING)
end
