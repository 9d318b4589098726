-- The one place where a job changes its state: field, sorted set or list, and event together. Nothing else may.
--
-- A verb first says what leaves (`leave`), takes it out (`take_out`), then lets each job enter its next state (`enter`)
-- and brings them in (`bring_in`). Taking out comes first for a reason: ZREM needs no memory, and once a script has
-- written, Redis lets it finish although `maxmemory` is reached. So workers can settle what a full Redis holds.
local leaving, entering, news = {}, {}, {}
local gone = {}  -- ids that are leaving
local struck = {}  -- queues whose list of the succeeded has entries that were struck out

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

local function send(lists, to_sets, to_list)
  for state, of_state in pairs(lists) do
    for queue, list in pairs(of_state) do
      in_parts(state == SUCCEEDED and to_list or to_sets, state_key(queue, state), list)
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

-- The same for many that are of one set, and are named once; they are taken out at once.
local function leave_all(queue, state, ids)
  in_parts('ZREM', state_key(queue, state), ids)
end

local function take_out()
  send(leaving, 'ZREM')
  leaving, gone = {}, {}
end

-- Succeeded jobs are in the order of their ending and leave from the oldest end: a list does, in a tenth of the room.
local function leave_oldest(queue, number)
  redis.call('LTRIM', state_key(queue, SUCCEEDED), number, -1)
end

-- An entry of that list which belongs to no such job, by its place: taken out by `clear_struck`, so that places hold.
local function strike(queue, at)
  redis.call('LSET', state_key(queue, SUCCEEDED), at, '')
  struck[queue] = true
end

local function clear_struck()
  for queue in pairs(struck) do
    redis.call('LREM', state_key(queue, SUCCEEDED), 0, '')
  end
end

-- `score`: when somebody must look again (due at, lease until), when it ended, or a queued job's place; of a succeeded
-- one its place in the list says that.
-- What follows are further hash fields to write in the same command: name, value, …
local function enter(id, queue, state, score, ...)
  redis.call('HSET', job_key(id), STATE, state, ...)
  local list = list_of(entering, queue, state)
  if state ~= SUCCEEDED then
    list[#list + 1] = score
  end
  list[#list + 1] = id
  if state == SUCCEEDED or state == DEAD or state == CANCELED then
    news[#news + 1] = id .. ' ' .. NAMES[state]
  end
end

-- A new job's record and its first state. Further fields follow; one command writes them all.
local function add_job(id, queue, state, score, message, ...)
  if #message <= PIECE and queue == 'default' then
    return enter(id, queue, state, score, TIMESTAMP, stamp, MSG, message, ...)
  end
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

-- A queued job stays what it is, in another place of its line.
local function place(id, queue, score)
  redis.call('ZADD', state_key(queue, QUEUED), 'XX', score, id)
end

local function bring_in(to_list)
  send(entering, 'ZADD', to_list or 'RPUSH')
  entering = {}
  if #news > 0 then
    -- A hint for those who wait; whoever misses it looks by itself a little later.
    redis.call('PUBLISH', events_key, table.concat(news, '\n'))
    news = {}
  end
end
