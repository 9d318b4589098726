--- finish — record how attempts ended: result, next state, statistics, event and callback, all or nothing.
-- in   retries (for jobs that say none), max_crashes, max_retries, backoff, backoff_max, jitter, retention
--      ARGV[2 …] for each attempt: id, token, kind, seconds, first, second, third      (see model/outcome.py)
-- out  'ok', id, why, id, why, …        only the refused ones; why: the letter of the state the job is in, or missing
-- moves running → succeeded | scheduled | dead.  A late outcome is refused and counted; one of a canceled job is refused
-- and not counted, for its worker may not have heard of it yet. Sending it again is harmless: the token stays with the
-- job until another claim, and an outcome that was recorded is not recorded twice.
--@include call drain job move stats bell stream settle trim

local answer = {'ok'}
local accepted, ended, run_us = {}, {}, {}

for i = 2, #ARGV, 7 do
  local job = read_job(ARGV[i])
  if job.state == RUNNING and job.token == ARGV[i + 1] then
    if leave(job.id, job.queue, RUNNING) then
      job.at = i
      accepted[#accepted + 1] = job
    end
  elseif job.token ~= ARGV[i + 1] or job.state == CANCELED then
    answer[#answer + 1] = job.id
    answer[#answer + 1] = job.state or 'missing'
    drain()
    if job.queue and job.state ~= CANCELED then
      count(job.queue, 'refused', 1)
    end
  end
end
take_out()

-- When the listener began: a job that was claimed ahead of its turn began later than its claim. `seconds` is how long
-- the listener ran, by the clock of its own process.
local function began(seconds)
  return now - us(seconds)
end

local function succeed(job, started, first, result)
  if job.error_type then  -- an earlier attempt left its error
    redis.call('HDEL', job_key(job.id), ERROR, ERROR_TYPE, TRACEBACK)
  end
  if #result <= PIECE and first == '' then
    return end_job(job, SUCCEEDED, nil, PROCESSING_STARTED, started, RESULT, result)
  end
  local fields, short = {PROCESSING_STARTED, started}, nil
  keep(fields, RESULT, result, result_key(job.id))
  if first ~= '' then  -- '=text' is a short result, '' is none
    short = string.sub(first, 2)
    fields[#fields + 1], fields[#fields + 2] = SHORT_RESULT, short
  end
  end_job(job, SUCCEEDED, short, unpack(fields))
end

--@rarely
local function fail(job, kind, ...)
  read_more(job)
  if kind == 'crash' then
    count(job.queue, 'crashed', 1)
    try_again(job, CRASHES, args.max_crashes, ...)
  elseif kind == 'unknown' then
    try_again(job, RETRIES, args.max_retries, ...)
  else
    count(job.queue, 'failed', 1)
    try_again(job, FAILURES, tonumber(job[RETRIES_ALLOWED]) or args.retries, ...)
  end
end

for _, job in ipairs(accepted) do
  local i, queue = job.at, job.queue
  ended[queue] = (ended[queue] or 0) + 1
  run_us[queue] = (run_us[queue] or 0) + us(ARGV[i + 3])
  if ARGV[i + 2] == 'done' then
    succeed(job, began(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5])
  else
    fail(job, ARGV[i + 2], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
  end
end
bring_in()

for queue, jobs in pairs(ended) do
  count(queue, 'run_us', run_us[queue])
  if has_retention(queue) then
    for _, state in ipairs({SUCCEEDED, CANCELED, DEAD}) do
      trim(queue, state, jobs + 10)
    end
  end
end
write_stats()
return answer
