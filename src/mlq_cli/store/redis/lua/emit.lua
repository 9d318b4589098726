--- emit — keep what listeners give out while they run, for those who follow.
-- in   ARGV[2 …] for each part: id, token, serial (1, 2, … within the attempt), value (msgpack)
-- out  'ok', refused
-- In the order given. Sending it again is harmless: a part whose serial was taken is not taken again.
--@include call job stream

local refused, jobs, news = 0, {}, {}
for i = 2, #ARGV, 4 do
  local id, serial = ARGV[i], tonumber(ARGV[i + 2])
  local job = jobs[id]
  if not job then
    job = speaker(id)
    jobs[id] = job
  end
  if job.state == RUNNING and job.token == ARGV[i + 1] then
    if serial > (job.emitted or 0) then
      say(job, 'e', ARGV[i + 3])
      job.emitted = serial
      job.spoke = true
    end
  else
    refused = refused + 1
  end
end
for id, job in pairs(jobs) do
  if job.spoke then
    said(job)
    news[#news + 1] = id .. ' part'
  end
end
if #news > 0 then
  redis.call('PUBLISH', events_key, table.concat(news, '\n'))
end
return {'ok', refused}
