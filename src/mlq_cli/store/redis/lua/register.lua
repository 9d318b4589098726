--- register — keep a function for workers to take up, or forget one.
-- in   name, version (µs, as text), full (functions that there may be);  ARGV[2] its envelope, which nobody reads here
--      to forget: name, queues (all there are), client, serial (see lib/once.lua)
-- out  'ok', or 'old': there is or was one as new as that, 'full', 'missing'
--@include call once newest

local forget = not ARGV[2]
local answer = forget and remembered()
if answer then
  return answer
end
local kept = redis.call('HGET', functions_key, args.name)
local version = tonumber(redis.call('HGET', versions_key, args.name) or 0) or 0
if forget and not kept then
  return remember({'missing'})
elseif kept and kept == ARGV[2] then
  return {'ok'}
elseif not forget and tonumber(args.version) <= version then
  return {'old'}
elseif not (kept or forget) and redis.call('HLEN', functions_key) >= args.full then
  return {'full'}
end

-- Revisions only ever grow, and no version is above the newest of them: so `clock` is above all versions.
local revision = math.max(now, math.floor(newest_change() or 0) + 1, tonumber(args.version or 0))
redis.call('ZADD', changes_key, string.format('%.0f', revision), args.name)
if forget then
  redis.call('HDEL', functions_key, args.name)
  local able = {args.name}
  for _, queue in ipairs(args.queues) do
    able[#able + 1] = args.name .. '\n' .. queue
  end
  in_parts('ZREM', able_key, able)
  redis.call('HSET', versions_key, args.name, string.format('%.0f', revision))
  return remember({'ok'})
end
redis.call('HSET', functions_key, args.name, ARGV[2])
redis.call('HSET', versions_key, args.name, args.version)
redis.call('ZADD', able_key, now + us(60), args.name)  -- until workers have taken it up and say so
return {'ok'}
