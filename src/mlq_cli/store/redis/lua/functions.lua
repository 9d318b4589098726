--- functions — what has changed among the functions that workers take up.
-- in   after (a revision as text, '0': all), most (functions), bytes (of envelopes after which no more are told)
-- out  'ok', the newest revision, then for each change in order: name, revision, envelope or false
--@include call newest

local newest = newest_change()
local answer, size = {'ok', newest or '0'}, 0
if not newest or newest == args.after then
  return answer
end
local changes = redis.call('ZRANGEBYSCORE', changes_key, '(' .. args.after, LATEST, 'WITHSCORES', 'LIMIT', 0, args.most)
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
