-- The doorbell: a list that idle workers block on. A token in it means «look», never «take this job».
--
-- Redis gives each token to one waiting worker, so exactly as many wake as there are jobs. Tokens that nobody waits for
-- stay, up to a bound (and a few), and `claim` clears them when it leaves a queue empty.
local TOKENS = 1000
local A_FEW = 100

local function ring(queue, jobs)
  if jobs == 0 then
    return
  end
  local bell = bell_key(queue)
  if jobs == 1 then
    if redis.call('RPUSH', bell, '1') >= TOKENS + A_FEW then
      redis.call('LTRIM', bell, 0, TOKENS - 1)
    end
    return
  end
  local tokens = {}
  for i = 1, math.min(jobs, TOKENS - redis.call('LLEN', bell)) do
    tokens[i] = '1'
  end
  if #tokens > 0 then
    redis.call('RPUSH', bell, unpack(tokens))
  end
end

local function silence(queue)
  redis.call('DEL', bell_key(queue))
end
