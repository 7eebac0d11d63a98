-- Carry out settlements: one batch, results and successors included.
--   KEYS[1]   what the incarnation holds
--   ARGV[6]   number of this batch, one more than that of the batch before
--   ARGV[7]   1 if it is unknown whether the batch before was done
--   ARGV[8]   this database
--   ARGV[9]   the database of results
--   ARGV[10]  what the keys of results begin with
--   ARGV[11]  what the keys of the states of results begin with (results.lua)
--   then for each settlement its kind, the held field and what the kind needs:
--     ack      result, successors
--     release
--     retry    result, the new message as one successor
--     defer    due, 1 if a delivery is counted, 1 if a crash is counted, 1 if it goes to the front
--     dead     reason, result, successors
--   a result is task id, state, payload, milliseconds of life or ''; state '' is no result, and nothing follows it
--   successors are their number, then for each: nonce or '', due or '', priority step, queue, message
-- Answer: {'fenced'}, {'stale'} for a batch that came after its successor, or {'ok', a 1 or 0 for each settlement}.

local held, number = KEYS[1], tonumber(ARGV[6])
local seq, done = unpack(redis.call('HMGET', held, 'seq', 'done'))
if not seq then return {'fenced'} end
local earlier = {}
if done then
  local last, flags, tags = string.match(done, '^(%d+):(%d*):(.*)$')
  last = tonumber(last)
  if last == number then -- done already; the answer was lost
    redis.call('INCR', BASE .. 'serial') -- a write, which a WAIT behind this can wait for
    return {'ok', flags}
  end
  if last > number then return {'stale'} end
  if ARGV[7] == '1' then
    for tag in string.gmatch(tags, '%d+') do earlier[tag] = true end
  end
end

local at, is_elsewhere = 12, ARGV[8] ~= ARGV[9]
local acked = {}

local function word()
  at = at + 1
  return ARGV[at - 1]
end

local function read_result()
  local id, state = word(), word()
  if state == '' then return nil end
  return {ARGV[10] .. id, ARGV[11] .. id, state, word(), word()}
end

local function read_successors()
  local found, count = nil, tonumber(word())
  for n = 1, count do
    found = found or {}
    found[n] = {word(), word(), word(), word(), word()}
  end
  return found
end

local function store(result)
  if not result then return end
  if is_elsewhere then redis.call('SELECT', ARGV[9]) end
  write_result(unpack(result))
  if is_elsewhere then redis.call('SELECT', ARGV[8]) end
end

local function follow(successors)
  for _, one in ipairs(successors or {}) do publish(unpack(one)) end
end

-- Each reads its words, and does what they say if the field is held; whether it was.
local kinds = {}

function kinds.ack(field)
  local result, successors = read_result(), read_successors()
  if redis.call('HEXISTS', held, field) == 0 then return false end
  store(result)
  follow(successors)
  acked[#acked + 1] = field
  return true
end

function kinds.retry(field)
  local is_held = kinds.ack(field)
  if is_held then redis.call('HDEL', held, field) end -- at once: nothing but the hold keeps it from being repeated
  return is_held
end

function kinds.release(field)
  local value = redis.call('HGET', held, field)
  if not value then return false end
  local _, step, queue = parse_field(field)
  local deliveries, crashes, first, kept, message = parse_value(value)
  redis.call('RPUSH', list_of(queue, step), message)
  redis.call('HDEL', held, field)
  if kept == '1' then remember(queue, message, deliveries .. ':' .. crashes .. ':' .. first) end
  wake(queue, 1)
  return true
end

function kinds.defer(field)
  local due, delivery, crash, is_first = word(), word(), word(), word() == '1'
  local value = redis.call('HGET', held, field)
  if not value then return false end
  local _, step, queue = parse_field(field)
  local deliveries, crashes, first, _, message = parse_value(value)
  local count = string.format('%d:%d:%s', deliveries + delivery, crashes + crash, first)
  if tonumber(due) > tonumber(wall()) then
    put_off(queue, step, due, count .. ':1', message)
  else
    if is_first then redis.call('RPUSH', list_of(queue, step), message) else append(queue, step, message) end
    remember(queue, message, count)
  end
  redis.call('HDEL', held, field)
  wake(queue, 1)
  return true
end

function kinds.dead(field)
  local reason, result, successors = word(), read_result(), read_successors()
  local value = redis.call('HGET', held, field)
  if not value then return false end
  local _, step, queue = parse_field(field)
  local deliveries, crashes, _, _, message = parse_value(value)
  store(result)
  bury(queue, step, message, reason, deliveries, crashes)
  redis.call('HDEL', held, field)
  follow(successors)
  return true
end

turn_nonces()
local flags, tags = {}, {}
while at <= #ARGV do
  local kind, field = word(), word()
  local is_done = kinds[kind](field)
  local tag = string.match(field, '^%d+')
  if is_done or earlier[tag] then
    flags[#flags + 1] = '1'
    tags[#tags + 1] = tag
  else
    flags[#flags + 1] = '0'
  end
end
if #acked > 0 then redis.call('HDEL', held, unpack(acked)) end
flags = table.concat(flags)
redis.call('HSET', held, 'done', number .. ':' .. flags .. ':' .. table.concat(tags, ','))
return {'ok', flags}
