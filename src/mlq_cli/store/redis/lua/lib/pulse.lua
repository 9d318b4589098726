-- The pulse: when anybody was last heard of, so that an outage does not look as if every worker had died.
--
-- While Redis is away no lease is renewed, and afterwards all of them look lost although the workers live. Whoever
-- speaks first and finds that nobody has been heard of for half a lease starts one lease of grace, in which nothing is
-- given back and living workers renew. Returns the microseconds of grace left.
local function grace()
  local lease = us(args.lease)
  local pulse = redis.call('HMGET', pulse_key, 'heard_at', 'grace_until')
  local heard_at, grace_until = tonumber(pulse[1]), tonumber(pulse[2]) or 0
  if not heard_at or now - heard_at > lease / 2 then
    grace_until = now + lease
    drain()
    redis.call('HSET', pulse_key, 'heard_at', stamp, 'grace_until', grace_until)
  elseif now - heard_at > lease / 64 or now < heard_at then  -- as exact as it has to be, and rarely written
    drain()
    redis.call('HSET', pulse_key, 'heard_at', stamp)
  end
  return math.max(0, grace_until - now)
end
