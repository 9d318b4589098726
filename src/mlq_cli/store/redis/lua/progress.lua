--- progress — keep what listeners say of how far they are.
-- in   ARGV[2 …] for each: id, token, value (msgpack)
-- out  'ok', refused
--@include call job

local refused, news = 0, {}
for i = 2, #ARGV, 3 do
  local job = redis.call('HMGET', job_key(ARGV[i]), STATE, TOKEN)
  if job[1] == RUNNING and job[2] == ARGV[i + 1] then
    redis.call('HSET', job_key(ARGV[i]), PROGRESS, ARGV[i + 2])
    news[#news + 1] = ARGV[i] .. ' progress'
  else
    refused = refused + 1
  end
end
if #news > 0 then
  redis.call('PUBLISH', events_key, table.concat(news, '\n'))
end
return {'ok', refused}
