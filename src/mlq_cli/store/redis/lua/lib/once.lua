-- What was sent again after a lost reply is answered again, and not done twice.
--
-- A client has one call under way at a time and numbers them (`args.client`, `args.serial`), so its newest answer is all
-- that has to be remembered, for a minute. For verbs that are not harmless to repeat by themselves.
local function remembered()
  local last = redis.call('GET', once_key(args.client))
  last = last and cmsgpack.unpack(last)
  return last and last[1] == args.serial and last[2]
end

local function remember(answer)
  redis.call('SET', once_key(args.client), cmsgpack.pack({args.serial, answer}), 'EX', 60)
  return answer
end
