-- Whether keys and records are such that the other verbs can work with them. Nothing in here is taken for granted.
local NUMBERS = {TIMESTAMP, SEQ, PRIORITY, SPENT, RETRIES, FAILURES, CRASHES, RETRIES_ALLOWED, TIMEOUT,
                 PROCESSING_STARTED, PROCESSING_FINISHED, QUEUED_AT}
local READ = {STATE, QUEUE, MSG, RESULT, unpack(NUMBERS)}

local function type_of(key)
  return redis.call('TYPE', key).ok
end

local function fits(key, kind)
  local found = type_of(key)
  return found == kind or found == 'none'
end

-- The state sets, and the list of the succeeded, that can be used as such. Others are reported as keys of the wrong type.
local usable = {}
local function is_set(queue, state)
  local key = state_key(queue, state)
  if usable[key] == nil then
    usable[key] = fits(key, state == SUCCEEDED and 'list' or 'zset')
  end
  return usable[key]
end

local function is_number(text)
  local number = tonumber(text)
  return number and math.abs(number) < 9007199254740992  -- which is false for nan as well
end

-- A record that the other verbs can work with; nil for one that they would trip over.
local function read_sound(id)
  local job = {id = id}
  for i, value in ipairs(redis.call('HMGET', job_key(id), unpack(READ))) do
    job[READ[i]] = value
  end
  job.state, job.queue = job[STATE], job[QUEUE] or 'default'
  for _, name in ipairs(NUMBERS) do
    if job[name] and not is_number(job[name]) then
      return nil
    end
  end
  local named = #job.queue <= 64 and string.find(job.queue, '^_?%w[%w._-]*$')
  local counted = job[TIMESTAMP] and is_number(job[SEQ] or id)
  return named and counted and NAMES[job.state] and job or nil
end
