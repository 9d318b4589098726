--- progress — keep what listeners say of how far they are.
-- in   ARGV[2 …] for each: id, token, value (msgpack)
-- out  'ok', refused
-- Sending it again is harmless: what was said last is not said again.
--@include call job stream

local refused, news = 0, {}
for i = 2, #ARGV, 3 do
  local job = speaker(ARGV[i])
  if job.state == RUNNING and job.token == ARGV[i + 1] then
    if job.progress ~= ARGV[i + 2] then
      say(job, 'p', ARGV[i + 2])
      said(job, PROGRESS, ARGV[i + 2])
      news[#news + 1] = ARGV[i] .. ' progress'
    end
  else
    refused = refused + 1
  end
end
if #news > 0 then
  redis.call('PUBLISH', events_key, table.concat(news, '\n'))
end
return {'ok', refused}
