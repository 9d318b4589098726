-- What was sent again after a lost reply is answered again, and not done twice.
--
-- A client has one call under way at a time and numbers them (`args.client`, `args.serial`), so its newest answer is all
-- that has to be remembered: for a minute, and for as long as a thin line takes to carry a large call once more. For
-- verbs that are not harmless to repeat by themselves.
local THIN = 32768  -- bytes a second, SLOWEST of link.py

local bytes = 0
for i = 2, #ARGV do
  bytes = bytes + #ARGV[i]
end
local life = 60 + math.floor(bytes / THIN)  -- seconds that the answer to this call is remembered

local function remembered()
  local last = redis.call('GET', once_key(args.client))
  if last then
    local serial, answer = cmsgpack.unpack(last)
    return serial == args.serial and answer
  end
end

local function remember(answer)
  redis.call('SET', once_key(args.client), cmsgpack.pack(args.serial, answer), 'EX', life)
  return answer
end
