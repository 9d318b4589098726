--- finish — record how attempts ended: result, next state, statistics, event and callback, all or nothing.
-- in   retries (for jobs that say none), max_crashes, max_retries, backoff, backoff_max, jitter, retention
--      ARGV[2 …] for each attempt: id, token, kind, seconds, first, second, third      (see model/outcome.py)
-- out  'ok', id, why, id, why, …        only the refused ones; why: the letter of the state the job is in, or missing
-- moves running → succeeded | scheduled | dead.  A late outcome is refused and counted; one of a canceled job is refused
-- and not counted, for its worker may not have heard of it yet. Sending it again is harmless: the token stays with the
-- job until another claim, and an outcome that was recorded is not recorded twice.
--@include call drain job move stats bell stream settle trim

local answer = {'ok'}
local accepted, ended = {}, {}

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
    -- It may be sent more than once: an executor's board and pipe both have it, and answers are lost.
    if job.queue and job.state ~= CANCELED
       and redis.call('SET', refused_key(job.id), ARGV[i + 1], 'EX', 3600, 'GET') ~= ARGV[i + 1] then
      count(job.queue, 'refused', 1)
    end
  end
end
take_out()

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
  if kind == 'later' then
    return put_off(job, ...)
  end
  read_more(job)
  if kind == 'crash' then
    count(job.queue, 'crashed', 1)
    try_again(job, CRASHES, args.max_crashes, ...)
  elseif kind == 'unknown' then
    try_again(job, RETRIES, args.max_retries, ...)
  elseif kind == 'final' then
    count(job.queue, 'failed', 1)
    try_again(job, FAILURES, 0, ...)
  else
    count(job.queue, 'failed', 1)
    try_again(job, FAILURES, tonumber(job[RETRIES_ALLOWED]) or args.retries, ...)
  end
end

for _, job in ipairs(accepted) do
  local i, queue = job.at, job.queue
  local kind, time = ARGV[i + 2], us(ARGV[i + 3])  -- how long the listener ran, by the clock of its own process
  if kind ~= 'later' then
    local runs = ended[queue] or {jobs = 0, done = 0, failed = 0, longest = 0}
    ended[queue], runs.jobs = runs, runs.jobs + 1
    runs.longest = time > runs.longest and time or runs.longest
    if kind == 'done' then
      runs.done = runs.done + time
      count(queue, RUN_BUCKET, 1)
    else
      runs.failed = runs.failed + time
      count(queue, FAIL_BUCKET, 1)
    end
  end
  if kind == 'done' then
    -- A job that was claimed ahead of its turn began later than its claim.
    succeed(job, now - time, ARGV[i + 4], ARGV[i + 5])
  else
    fail(job, kind, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
  end
end
bring_in()

-- What a run takes of late: a mean that forgets, a job weighing an eighth. The longest of a call counts as no more than
-- eight times the mean, so that one outlier at most doubles it; what is longer in one job of eight counts in full.
-- To read and write it is dear beside jobs of less than 10 ms, so of their calls it takes one in eight, for eight.
-- A call stands for 16 jobs at most: more leave nothing of what was before.
for queue, runs in pairs(ended) do
  local jobs, sum, longest = runs.jobs, runs.done + runs.failed, runs.longest
  count(queue, 'run_us', runs.done)
  if runs.failed > 0 then
    count(queue, 'fail_us', runs.failed)
  end
  local brief = longest < 10000
  if not brief or now % 8 == 0 then
    local mean, lately = tonumber(redis.pcall('HGET', stats_key(queue), 'recent_run_us')), sum / jobs
    if mean and mean >= 0 and mean < 1e15 then  -- or somebody else has written it
      lately = (sum - longest + math.min(longest, math.max(mean, 1000) * 8)) / jobs
      lately = lately + (mean - lately) * 0.875 ^ math.min(brief and jobs * 8 or jobs, 16)
    end
    redis.pcall('HSET', stats_key(queue), 'recent_run_us', math.floor(lately + 0.5))
  end
  if has_retention(queue) then
    for _, state in ipairs({SUCCEEDED, CANCELED, DEAD}) do
      trim(queue, state, jobs + 10)
    end
  end
end
write_stats()
return answer
