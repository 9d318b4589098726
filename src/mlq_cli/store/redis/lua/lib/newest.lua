-- The last change among the functions: its revision is above all others. What is above this, or below zero, was written
-- by a stranger.
local LATEST = 9007199254740992  -- 2^53: up to here whole numbers are exact

-- Nil when there was none. A key that somebody has broken is as good as none, for those who only look.
local function newest_change()
  local found = redis.pcall('ZREVRANGEBYSCORE', changes_key, LATEST, 0, 'WITHSCORES', 'LIMIT', 0, 1)
  return found[2]
end
