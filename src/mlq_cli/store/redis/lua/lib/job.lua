-- One job's record: a hash, with a long message or result in a string of its own.
--
-- A hash with one value over 64 bytes leaves its compact encoding and grows by some 250 bytes; a string of its own takes
-- some 90 and a command each time. So what has at most a few times 64 bytes is kept in pieces: `m`, `m1`, `m2`, `m3`.

-- Append the fields that hold a value to `fields`, name, value, …; or store it under `key` and append nothing.
local function keep(fields, name, value, key)
  local size, n = #value, #fields
  if size <= PIECE then
    fields[n + 1], fields[n + 2] = name, value
  elseif size <= PIECE * PIECES then
    fields[n + 1], fields[n + 2] = name, string.sub(value, 1, PIECE)
    for i = 1, math.ceil(size / PIECE) - 1 do
      fields[n + 2 * i + 1], fields[n + 2 * i + 2] = name .. i, string.sub(value, i * PIECE + 1, (i + 1) * PIECE)
    end
  else
    redis.call('SET', key, value)
  end
end

-- The value again, from a record as it is stored; false when it is lost.
local function kept(record, name, key)
  local value = record[name]
  if not value then
    return redis.call('GET', key)
  elseif #value < PIECE then
    return value
  end
  for i = 1, PIECES - 1 do
    value = value .. (record[name .. i] or '')
  end
  return value
end

-- A record as it is stored.
local function read_fields(id)
  local flat = redis.call('HGETALL', job_key(id))
  local job = {[STATE] = false, [TIMESTAMP] = false, [MSG] = false, message = false}  -- the table grows less often so
  for i = 1, #flat, 2 do
    job[flat[i]] = flat[i + 1]
  end
  return job
end

-- The same, and its message.
local function read_whole(id)
  local job = read_fields(id)
  job.message = job[STATE] and kept(job, MSG, msg_key(id))
  return job
end

-- The number of the job: its id, or what the counter gave when the caller brought an id along. It keeps FIFO order.
-- Never none: an error in here would come between ZREM and ZADD, and take all jobs of the call out of their sets.
local function number_of(id, seq)
  return tonumber(seq or id) or 0
end

-- Higher priority first, then in the order of posting: 12 bits of band above 41 bits of number, exact in a double.
local function queued_score(priority, number)
  return -(tonumber(priority) or 0) * 2199023255552 + number
end

local function forget_job(id)
  redis.call('DEL', job_key(id), msg_key(id), result_key(id), stream_key(id))
end
