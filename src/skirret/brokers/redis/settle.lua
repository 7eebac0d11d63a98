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
--     defer    due, 1 if a delivery is counted, 1 if a crash is counted
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
  if last == number then return {'ok', flags} end -- done already; the answer was lost
  if last > number then return {'stale'} end
  if ARGV[7] == '1' then
    for tag in string.gmatch(tags, '%d+') do earlier[tag] = true end
  end
end

local at = 12
local function word()
  at = at + 1
  return ARGV[at - 1]
end

local function read_result()
  local result = {word(), word()}
  if result[2] ~= '' then
    result[3], result[4] = word(), word()
  end
  return result
end

local function read_successors()
  local found = {}
  for n = 1, tonumber(word()) do found[n] = {word(), word(), word(), word(), word()} end
  return found
end

local function store(result)
  if result[2] == '' then return end
  if ARGV[8] ~= ARGV[9] then redis.call('SELECT', ARGV[9]) end
  write_result(ARGV[10] .. result[1], ARGV[11] .. result[1], result[2], result[3], result[4])
  if ARGV[8] ~= ARGV[9] then redis.call('SELECT', ARGV[8]) end
end

local function follow(successors)
  for _, one in ipairs(successors) do publish(unpack(one)) end
end

local kinds = {}

function kinds.ack()
  local result, successors = read_result(), read_successors()
  return function()
    store(result)
    follow(successors)
  end
end

kinds.retry = kinds.ack

function kinds.release()
  return function(queue, step, value)
    local deliveries, crashes, first, kept, message = parse_value(value)
    redis.call('RPUSH', list_of(queue, step), message)
    if kept == '1' then remember(queue, message, deliveries .. ':' .. crashes .. ':' .. first) end
    wake(queue, 1)
  end
end

function kinds.defer()
  local due, delivery, crash = word(), word(), word()
  return function(queue, step, value)
    local deliveries, crashes, first, _, message = parse_value(value)
    local count = string.format('%d:%d:%s', deliveries + delivery, crashes + crash, first)
    if tonumber(due) > tonumber(wall()) then
      put_off(queue, step, due, count .. ':1', message)
    else
      append(queue, step, message)
      remember(queue, message, count)
    end
    wake(queue, 1)
  end
end

function kinds.dead()
  local reason, result, successors = word(), read_result(), read_successors()
  return function(queue, step, value)
    local deliveries, crashes, _, _, message = parse_value(value)
    store(result)
    bury(queue, step, message, reason, deliveries, crashes)
    follow(successors)
  end
end

turn_nonces()
local flags, tags = {}, {}
while at <= #ARGV do
  local kind, field = word(), word()
  local act = kinds[kind]()
  local tag, step, queue = parse_field(field)
  local value
  if kind == 'ack' or kind == 'retry' then
    value = redis.call('HEXISTS', held, field) == 1
  else
    value = redis.call('HGET', held, field)
  end
  if value then
    act(queue, step, value)
    redis.call('HDEL', held, field)
  end
  local is_done = value or earlier[tag]
  flags[#flags + 1] = is_done and '1' or '0'
  if is_done then tags[#tags + 1] = tag end
end
flags = table.concat(flags)
redis.call('HSET', held, 'done', number .. ':' .. flags .. ':' .. table.concat(tags, ','))
return {'ok', flags}
