-- Counters of each queue, summed here and written once a call.
local sums = {}

local function count(queue, name, amount)
  local sum = sums[queue]
  if not sum then
    sum = {}
    sums[queue] = sum
  end
  sum[name] = (sum[name] or 0) + amount
end

-- Written last, when all else is done: a key that somebody has broken must not make it look as if nothing was.
local function write_stats()
  for queue, sum in pairs(sums) do
    for name, amount in pairs(sum) do
      if name == 'wait_seconds' or name == 'run_seconds' then
        redis.pcall('HINCRBYFLOAT', stats_key(queue), name, amount)
      else
        redis.pcall('HINCRBY', stats_key(queue), name, amount)
      end
    end
  end
end
