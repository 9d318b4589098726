-- How long jobs wait and run: a histogram of each, and what a run takes of late. Whole microseconds; see stats.lua.
--
-- Each job has added its time to a list. Neighbours are alike, so the bucket of the one before is tried first: it has
-- those that are over `over`, up to `upto`. Most are in the very first. Returns the sum and the longest.
local function count_times(queue, kind, times)
  local sum, longest, jobs, over, upto, bucket = 0, 0, 0, -1, FIRST_BOUND, 0
  local bounds, counts = nil, nil
  for i = 1, #times do
    local time = times[i]
    if time > upto or time <= over then
      if counts then
        counts[bucket] = (counts[bucket] or 0) + jobs
      else
        bounds, counts = BOUNDS, {[bucket] = jobs}
      end
      jobs, bucket = 0, time > bounds[10] and 10 or time > bounds[5] and 5 or 0
      for number = bucket + 1, #bounds do
        if time <= bounds[number] then
          break
        end
        bucket = number
      end
      over, upto = bounds[bucket] or -1, bounds[bucket + 1] or math.huge
    end
    sum, jobs = sum + time, jobs + 1
    if time > longest then
      longest = time
    end
  end
  for number, some in pairs(counts or {}) do
    if some > 0 then
      count(queue, kind .. number, some)
    end
  end
  count(queue, kind .. bucket, jobs)
  count(queue, kind .. 'us', sum)
  return sum, longest
end

-- What a run takes of late: a mean that forgets, a job weighing an eighth. The longest of a call counts as no more than
-- eight times the mean, so that one outlier at most doubles it; what is longer in one job of eight counts in full.
-- To read and write it is dear beside jobs of less than `BRIEF`, so of their calls it takes one in eight, for eight.
local BRIEF = 10000
local WEIGHT = 8
local MOST = 16  -- jobs that a call stands for: more leave nothing of what was before

local function remember_run(queue, jobs, total, longest)
  local stands_for = jobs
  if longest < BRIEF then
    if now % WEIGHT ~= 0 then
      return
    end
    stands_for = jobs * WEIGHT
  end
  local mean = tonumber(redis.pcall('HGET', stats_key(queue), 'recent_run_us'))
  local lately = total / jobs
  if mean then
    lately = (total - longest + math.min(longest, math.max(mean, 1000) * WEIGHT)) / jobs
    lately = lately + (mean - lately) * (1 - 1 / WEIGHT) ^ math.min(stands_for, MOST)
  end
  redis.pcall('HSET', stats_key(queue), 'recent_run_us', math.floor(lately + 0.5))
end
