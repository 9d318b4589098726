-- How long jobs wait and run: a histogram of each. Whole microseconds; see stats.lua.
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
