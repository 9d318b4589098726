-- The one place where a job changes its state: field, sorted set and event together. Nothing else may.
--
-- A verb first says what leaves (`leave`), takes it out (`take_out`), then lets each job enter its next state (`enter`)
-- and brings them in (`bring_in`). Taking out comes first for a reason: ZREM needs no memory, and once a script has
-- written, Redis lets it finish although `maxmemory` is reached. So workers can settle what a full Redis holds.
local leaving, entering, news = {}, {}, {}
local gone = {}  -- ids that are leaving

-- The list of one state and queue; tables in tables, for joining strings a job is what would cost most here.
local function list_of(lists, queue, state)
  local of_state = lists[state]
  if not of_state then
    of_state = {}
    lists[state] = of_state
  end
  local list = of_state[queue]
  if not list then
    list = {}
    of_state[queue] = list
  end
  return list
end

local function send(command, lists)
  for state, of_state in pairs(lists) do
    for queue, list in pairs(of_state) do
      in_parts(command, state_key(queue, state), list)
    end
  end
end

-- False when it is leaving already: a call may name a job twice, but moves it once.
local function leave(id, queue, state)
  if gone[id] then
    return false
  end
  gone[id] = true
  local list = list_of(leaving, queue, state)
  list[#list + 1] = id
  return true
end

local function take_out()
  send('ZREM', leaving)
  leaving, gone = {}, {}
end

-- `score`: when somebody must look again (due at, lease until), when it ended, or a queued job's place.
-- What follows are further hash fields to write in the same command: name, value, …
local function enter(id, queue, state, score, ...)
  redis.call('HSET', job_key(id), STATE, state, ...)
  local list = list_of(entering, queue, state)
  list[#list + 1] = score
  list[#list + 1] = id
  if state == SUCCEEDED or state == DEAD or state == CANCELED then
    news[#news + 1] = id .. ' ' .. NAMES[state]
  end
end

-- A new job's record and its first state. Further fields follow; one command writes them all.
local function add_job(id, queue, state, score, message, ...)
  local fields = {TIMESTAMP, stamp, ...}
  if queue ~= 'default' then
    fields[#fields + 1], fields[#fields + 2] = QUEUE, queue
  end
  keep(fields, MSG, message, msg_key(id))
  enter(id, queue, state, score, unpack(fields))
end

-- A running job stays what it is, for longer.
local function renew(id, queue, lease_until)
  redis.call('ZADD', state_key(queue, RUNNING), 'XX', lease_until, id)
end

local function bring_in()
  send('ZADD', entering)
  entering = {}
  if #news > 0 then
    -- A hint for those who wait; whoever misses it looks by itself a little later.
    redis.call('PUBLISH', events_key, table.concat(news, '\n'))
    news = {}
  end
end
