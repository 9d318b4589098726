-- Counters of each queue, summed here and written once a call. Times are whole microseconds.
--
-- A key that somebody has broken must not make it look as if nothing was done: errors are passed over, and this comes last.
local sums = {}

local function count(queue, name, amount)
  local sum = sums[queue]
  if not sum then
    sum = {}
    sums[queue] = sum
  end
  sum[name] = (sum[name] or 0) + amount
end

local function write_stats()
  for queue, sum in pairs(sums) do
    for name, amount in pairs(sum) do
      redis.pcall('HINCRBY', stats_key(queue), name, amount)
    end
  end
end
