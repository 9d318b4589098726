-- What a waiting job takes along to another queue: all that was said of it, and how often it was tried; nothing of where
-- it stood. `due`: when it is due, or '' for one that is queued.
local function luggage(id, due, job)
  local fields, n = {}, 0
  for _, name in ipairs({TIMESTAMP, QUEUED_AT, PRIORITY, RETRIES_ALLOWED, TIMEOUT, CALLBACK, CALLBACK_METHOD,
                         CALLBACK_PUBLIC, GENERATION, FUNCTIONS, SPENT, FAILURES, CRASHES, RETRIES, ERROR, ERROR_TYPE,
                         TRACEBACK}) do
    if job[name] then
      fields[n + 1], fields[n + 2] = name, job[name]
      n = n + 2
    end
  end
  return {id, due, job.message or '\194', fields}  -- of a lost message as much as `claim` would give
end

-- Messages of so many bytes in all are enough for one answer, which Redis and the mover hold in memory.
local MOST_BYTES = 4194304
