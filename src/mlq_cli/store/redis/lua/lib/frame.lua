-- What an executor is given of a job, as worker/context.py reads it: a list of ten values in msgpack.
--
-- It is written piecemeal, for to pack a table takes a microsecond. Most jobs have the same end, by queue.
local ends = {}

local function frame(id, queue, job)
  local head = cmsgpack.pack(id, job.message, (tonumber(job[SPENT]) or 0) + 1, (tonumber(job[TIMESTAMP]) or 0) / 1000000)
  if job[FUNCTIONS] or job[CALLBACK] or job[RETRIES] or job[GENERATION] then
    return '\154' .. head .. cmsgpack.pack(job[FUNCTIONS] or false, job[CALLBACK] or false, job[RETRIES] or false, queue,
                                          args.token, job[GENERATION] or false)
  end
  if not ends[queue] then
    ends[queue] = cmsgpack.pack(false, false, false, queue, args.token, false)
  end
  return '\154' .. head .. ends[queue]
end
