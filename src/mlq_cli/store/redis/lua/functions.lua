--- functions — what has changed among the functions that workers take up.
-- in   after (a revision as text, '0': all), most (functions), bytes (of envelopes after which no more are told)
-- out  'ok', the newest revision, then for each change in order: name, revision, envelope or false
--@include call

-- A key that somebody has broken takes no worker down: then there is nothing.
local newest = redis.pcall('ZREVRANGE', changes_key, 0, 0, 'WITHSCORES')
local answer, size = {'ok', newest[2] or '0'}, 0
if newest.err or newest[2] == args.after then
  return answer
end
local changes = redis.call('ZRANGEBYSCORE', changes_key, '(' .. args.after, '+inf', 'WITHSCORES', 'LIMIT', 0, args.most)
for i = 1, #changes, 2 do
  if size > args.bytes then
    break
  end
  local envelope = redis.pcall('HGET', functions_key, changes[i])
  envelope = type(envelope) == 'string' and envelope
  answer[#answer + 1] = changes[i]
  answer[#answer + 1] = changes[i + 1]
  answer[#answer + 1] = envelope
  size = size + (envelope and #envelope or 0)
end
return answer
