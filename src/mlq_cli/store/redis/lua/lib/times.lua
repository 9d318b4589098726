-- How long jobs wait and run: a histogram of each, and what a run takes of late. Whole microseconds; see stats.lua.
--
-- Times come in runs, so the bucket of the last one is tried first: it has those that are over `over`, up to `upto`.
local bounds = BOUNDS
local over, upto, bucket = 0, 0, 0

-- Count `time` in `times`, by the number of its bucket: 0 is the first.
local function count_time(times, time)
  if time > upto or time <= over then
    over, upto, bucket = -1, bounds[1], 0
    for i = 1, #bounds do
      if time <= upto then
        break
      end
      over, upto, bucket = upto, bounds[i + 1] or math.huge, i
    end
  end
  times[bucket] = (times[bucket] or 0) + 1
end

local function count_times(queue, kind, times)
  for number, jobs in pairs(times) do
    count(queue, kind .. number, jobs)
  end
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
