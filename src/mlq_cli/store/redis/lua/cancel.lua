--- cancel — end jobs that have not ended. A running one is canceled at once; its worker hears of it by heartbeat.
-- in   ARGV[2 …] ids
-- out  'ok', word, word, …         for each id: ok, missing, or the state that does not allow it
-- moves scheduled | blocked | queued | running → canceled
--@include call drain job move stats bell settle

local answer, jobs = {'ok'}, {}
for i = 2, #ARGV do
  local job = read_job(ARGV[i])
  if job.state == 'succeeded' or job.state == 'dead' or not job.state then
    answer[i] = job.state or 'missing'
  else
    answer[i] = 'ok'
    if job.state ~= 'canceled' and leave(job.id, job.queue, job.state) then
      jobs[#jobs + 1] = job
    end
  end
end
take_out()
for _, job in ipairs(jobs) do
  end_job(job, 'canceled')
end
bring_in()
write_stats()
return answer
