--- release — give running jobs back to their queues, with no attempt spent.
-- in   ARGV[2 …] for each job: id, token;  or, by an operator: queue, limit, client, serial, and nothing in ARGV[2 …]
-- out  'ok', released
-- moves running → queued.  The token is dropped, so whatever the old attempt still says is refused.
--@include call once drain job move stats bell stream settle

drain()
local again = args.queue and remembered()
if again then
  return again
end

local jobs = {}
local function gather(id, token)
  local job = read_job(id)
  if job.state == RUNNING and (not token or job.token == token) and leave(id, job.queue, RUNNING) then
    jobs[#jobs + 1] = job
  end
end

if args.queue then
  for _, id in ipairs(redis.call('ZRANGE', state_key(args.queue, RUNNING), 0, args.limit - 1)) do
    gather(id)
  end
else
  for i = 2, #ARGV, 2 do
    gather(ARGV[i], ARGV[i + 1])
  end
end
take_out()

local back = {}
for _, job in ipairs(jobs) do
  read_more(job)
  back_to_queue(job, QUEUED_AT, stamp)
  back[job.queue] = (back[job.queue] or 0) + 1
end
bring_in()
for queue, jobs_back in pairs(back) do
  count(queue, 'released', jobs_back)
  ring(queue, jobs_back)
end
write_stats()
local answer = {'ok', #jobs}
return args.queue and remember(answer) or answer
