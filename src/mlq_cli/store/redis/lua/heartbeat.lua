--- heartbeat — a worker lives: renew its leases, and learn which of its jobs are no longer its own.
-- in   worker, lease (s), life (s the worker is remembered without a word), about: name, value, … for its record
--      functions: what jobs may ask it for, which is remembered a little longer: others leave these jobs alone meanwhile
--      ARGV[2 …] for each job held: id, token
-- out  'ok', id, token, why, …          only those to let go; why: canceled, lost or missing
--@include call drain job move pulse

local REMEMBERED = 120  -- seconds; a worker that is started anew shall find its jobs

drain()
local answer, lease_until = {'ok'}, now + us(args.lease)
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  local job = redis.call('HMGET', job_key(id), STATE, TOKEN, QUEUE)
  if job[1] == RUNNING and job[2] == ARGV[i + 1] then
    renew(id, job[3] or 'default', lease_until)
  elseif not (job[2] == ARGV[i + 1] and job[1] ~= CANCELED) then
    -- An ended job with our token is our own outcome, on its way back to us: nothing to let go.
    answer[#answer + 1] = id
    answer[#answer + 1] = ARGV[i + 1]
    answer[#answer + 1] = job[1] == CANCELED and 'canceled' or job[1] and 'lost' or 'missing'
  end
end
grace()
if args.life > 0 and args.functions and #args.functions > 0 then
  local able = {}
  for i, name in ipairs(args.functions) do
    able[2 * i - 1], able[2 * i] = now + us(math.max(args.life, REMEMBERED)), name
  end
  -- A key that somebody has broken shall not cost the leases.
  if type(redis.pcall('ZREMRANGEBYSCORE', able_key, '-inf', now)) == 'number' then
    in_parts('ZADD', able_key, able)
  end
end
redis.call('ZADD', workers_key, now + us(args.life), args.worker)
redis.call('HSET', worker_key(args.worker), 'seen_at', stamp / 1000000, unpack(args.about))
redis.call('EXPIRE', worker_key(args.worker), math.ceil(args.life))
return answer
