-- Whose job it is: a lane passes over what it cannot run, as long as somebody alive can.
--
-- `args.functions`: what the lane can run, as msgpack, in the words of the set `able`; without, whatever comes.
-- `args.plain`: whether that is also what names no function.

-- Whoever passes jobs over has perhaps taken the token that was to wake somebody who can run them.
--@rarely
local function ring_again(queue)
  if redis.call('LLEN', bell_key(queue)) == 0 then
    ring(queue, 1)
  end
end

local mine, verdicts

local function counts(entry)
  local till = tonumber(redis.pcall('ZSCORE', able_key, entry))
  return till and till > now
end

-- Whoever has it but serves other queues is of no use here. Without a queue: registered just now, by whom nobody knows.
local function is_able(name, queue)
  return counts(name .. '\n' .. queue) or counts(name)
end

-- Whether only others can run what asks for these functions, and one of them lives. What cannot be read is for anybody.
--@rarely
local function is_for_others(asked, queue)
  if not asked then
    return not args.plain
  end
  if not mine then
    mine, verdicts = {}, {}
    for _, name in ipairs(cmsgpack.unpack(args.functions)) do
      mine[name] = true
    end
  end
  local known = verdicts[queue] or {}
  verdicts[queue] = known
  if known[asked] == nil then
    local others, sound, names = false, pcall(cmsgpack.unpack, asked)
    for _, name in ipairs(sound and type(names) == 'table' and names or {}) do
      name = tostring(name)
      local module = string.match(name, '^[^:]*:') or ''
      if mine[name] or mine[module] then
        others = false
        break
      end
      others = others or is_able(name, queue) or (module ~= '' and is_able(module, queue))
    end
    known[asked] = others
  end
  return known[asked]
end
