-- One job's record: a hash, with a long message or result in a string of its own.
--
-- A hash with one value over 64 bytes leaves its compact encoding and grows by some 250 bytes, so long values stay out.
-- Both return the value when the hash shall hold it, and store it beside the hash otherwise.
local INLINE = 64

local function keep_message(id, message)
  if #message <= INLINE then
    return message
  end
  redis.call('SET', msg_key(id), message)
end

local function keep_result(id, result)
  if #result <= INLINE then
    return result
  end
  redis.call('SET', result_key(id), result)
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
  redis.call('DEL', job_key(id), msg_key(id), result_key(id))
end
