--- depart — waiting jobs leave a queue: forget those that have arrived elsewhere, hold the next for the way.
-- in   queue, epoch (of `embark`), count (of jobs in the answer), more (hold new ones when none is held)
--      ARGV[2 …] ids that have arrived
-- out  'ok', word, gone, ghosts, fresh, {id, due, message, {field, value, …}}, …
--      word: ok, or superseded: another move has begun since then
--      gone: how many were forgotten; ghosts: entries without a job that were taken out
--      fresh: 1 when these jobs are held from now on, 0 when they were already: first those have to arrive
-- moves queued | scheduled → blocked, with the field `leaving` and the score 0: no worker takes it, and no lease of it
-- ends, for whether it has arrived is known elsewhere. Sending it again answers what is held.
--@include call drain job move stats luggage

local queue = args.queue
drain()
if tonumber(redis.call('HGET', leaving_key, queue .. ':epoch')) ~= args.epoch then
  return {'ok', 'superseded', 0, 0, 0}
end

local arrived = {}
for i = 2, #ARGV do
  local job = redis.call('HMGET', job_key(ARGV[i]), STATE, LEAVING)
  if job[1] == BLOCKED and job[2] and leave(ARGV[i], queue, BLOCKED) then
    arrived[#arrived + 1] = ARGV[i]
  end
end
take_out()
for _, id in ipairs(arrived) do
  forget_job(id)
end
if #arrived > 0 then
  count(queue, 'moved', #arrived)
end

local answer, size = {'ok', 'ok', #arrived, 0, 0}, 0
local function take_along(id, job)
  answer[#answer + 1] = luggage(id, job[LEAVING] == QUEUED and '' or job[LEAVING], job)
end

local function hold(state, room)
  local found = redis.call('ZRANGE', state_key(queue, state), 0, room - 1, 'WITHSCORES')
  local jobs = {}
  for i = 1, #found, 2 do
    if size < MOST_BYTES then
      local job = read_whole(found[i])
      job.id, job[LEAVING] = found[i], state == QUEUED and QUEUED or found[i + 1]
      size = size + #(job.message or '')
      leave(job.id, queue, state)
      jobs[#jobs + 1] = job
    end
  end
  take_out()
  for _, job in ipairs(jobs) do
    if job[STATE] == state then
      enter(job.id, queue, BLOCKED, 0, LEAVING, job[LEAVING])
      take_along(job.id, job)
    else
      answer[4] = answer[4] + 1
    end
  end
end

if args.count > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', state_key(queue, BLOCKED), 0, 0, 'LIMIT', 0, args.count)) do
    local job = size < MOST_BYTES and read_whole(id)
    if job and job[STATE] == BLOCKED and job[LEAVING] then
      size = size + #(job.message or '')
      take_along(id, job)
    end
  end
  if #answer == 5 and args.more then
    answer[5] = 1
    hold(QUEUED, args.count)
    if #answer - 5 + answer[4] < args.count and size < MOST_BYTES then
      hold(SCHEDULED, args.count - (#answer - 5))
    end
    bring_in()
  end
end
write_stats()
return answer
