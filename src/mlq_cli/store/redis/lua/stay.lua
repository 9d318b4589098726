--- stay — jobs that were held to leave do not: they wait again where they were.
-- in   queue, epoch (of `embark`; nothing: whoever holds them is too late from now on), limit;
--      client, serial (see lib/once.lua)
--      ARGV[2 …] ids; none: any that are held
-- out  'ok', word, stayed       word: ok, or superseded: another move has begun since then
-- moves blocked → queued | scheduled.
--@include call drain once job move bell

local queue = args.queue
drain()
local again = remembered()
if again then
  return again
end
if not args.epoch then
  redis.call('HINCRBY', leaving_key, queue .. ':epoch', 1)
elseif tonumber(redis.call('HGET', leaving_key, queue .. ':epoch')) ~= args.epoch then
  return {'ok', 'superseded', 0}
end

local ids = {unpack(ARGV, 2)}
if #ids == 0 then
  ids = redis.call('ZRANGEBYSCORE', state_key(queue, BLOCKED), 0, 0, 'LIMIT', 0, args.limit)
end
local jobs = {}
for _, id in ipairs(ids) do
  local read = redis.call('HMGET', job_key(id), STATE, LEAVING, PRIORITY, SEQ)
  if read[1] == BLOCKED and read[2] and leave(id, queue, BLOCKED) then
    jobs[#jobs + 1] = {id, read[2], read[3], read[4]}
  end
end
take_out()
for _, job in ipairs(jobs) do
  redis.call('HDEL', job_key(job[1]), LEAVING)
  if job[2] == QUEUED then
    enter(job[1], queue, QUEUED, queued_score(job[3], number_of(job[1], job[4])))
  else
    enter(job[1], queue, SCHEDULED, job[2])
  end
end
bring_in()
ring(queue, #jobs)
return remember({'ok', 'ok', #jobs})
