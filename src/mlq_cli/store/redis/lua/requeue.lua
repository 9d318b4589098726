--- requeue — run jobs again that gave up or were canceled.
-- in   client, serial (see lib/once.lua);  ARGV[2 …] ids
-- out  'ok', word, word, …         for each id: ok, missing, or the letter of the state that does not allow it
-- moves dead | canceled → queued, with all counters of attempts back at nothing.
--@include call drain once job move stats bell stream settle

drain()
local again = remembered()
if again then
  return again
end

local answer, jobs, rung = {'ok'}, {}, {}
for i = 2, #ARGV do
  local job = read_job(ARGV[i])
  if job.state == DEAD or job.state == CANCELED then
    if leave(job.id, job.queue, job.state) then
      jobs[#jobs + 1] = job
    end
    answer[i] = 'ok'
  else
    answer[i] = job.state or 'missing'
  end
end
take_out()
for _, job in ipairs(jobs) do
  redis.call('HDEL', job_key(job.id), SPENT, FAILURES, CRASHES, RETRIES, ERROR, ERROR_TYPE, TRACEBACK,
             WORKER, PROCESSING_STARTED, PROCESSING_FINISHED)
  read_more(job)
  back_to_queue(job, QUEUED_AT, stamp)
  count(job.queue, 'requeued', 1)
  rung[job.queue] = (rung[job.queue] or 0) + 1
end
bring_in()
for queue, jobs_back in pairs(rung) do
  ring(queue, jobs_back)
end
write_stats()
return remember(answer)
