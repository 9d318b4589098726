--- cancel — end jobs that have not ended. A running one is canceled at once; its worker hears of it by heartbeat.
-- in   ARGV[2 …] ids
-- out  'ok', word, word, …         for each id: ok, missing, leaving, or the letter of the state that does not allow it
-- moves scheduled | blocked | queued | running → canceled
--@include call drain job move stats bell stream settle

drain()
local answer, jobs = {'ok'}, {}
for i = 2, #ARGV do
  local job = read_job(ARGV[i])
  if job.state == SUCCEEDED or job.state == DEAD or not job.state then
    answer[i] = job.state or 'missing'
  elseif job.state == BLOCKED and redis.call('HEXISTS', job_key(job.id), LEAVING) == 1 then
    answer[i] = 'leaving'  -- it may wait, or run, in another queue already
  else
    answer[i] = 'ok'
    if job.state ~= CANCELED and leave(job.id, job.queue, job.state) then
      jobs[#jobs + 1] = job
    end
  end
end
take_out()
for _, job in ipairs(jobs) do
  if job.state == RUNNING then
    read_more(job)
    end_job(job, CANCELED, nil, SPENT, spent(job))
  else
    end_job(job, CANCELED)
  end
end
bring_in()
write_stats()
return answer
