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

local function write_stats()
  for queue, sum in pairs(sums) do
    for name, amount in pairs(sum) do
      if name == 'wait_seconds' or name == 'run_seconds' then
        redis.call('HINCRBYFLOAT', stats_key(queue), name, amount)
      else
        redis.call('HINCRBY', stats_key(queue), name, amount)
      end
    end
  end
end
