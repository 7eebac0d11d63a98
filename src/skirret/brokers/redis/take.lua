-- Move messages from ready to held.
--   KEYS[1]   what the incarnation holds
--   ARGV[6]   incarnation
--   ARGV[7]   the last tag that it knows
--   ARGV[8]   at most so many messages
--   ARGV[9]   1 if it is going to wait for a wake if there is nothing
--   ARGV[10]  1 if it may be among those that wait
--   ARGV[11]  how many priority steps, then the steps in the order of taking
--   then the queues in the order of their turns
-- Answer: {'fenced'}, or {'seq', last tag of the server} if an earlier take was done whose answer got lost, or
-- {'ok', now, seconds to the next due message or '', then for each message: queue number, step, count or '', message};
-- their tags are the next ones, in this order.

local held, cid, last = KEYS[1], ARGV[6], ARGV[7]
local seq = redis.call('HGET', held, 'seq')
if not seq then return {'fenced'} end
if seq ~= last then return {'seq', seq} end
local left, steps, queues = tonumber(ARGV[8]), {}, {}
local first_queue = 12 + tonumber(ARGV[11])
for n = 12, first_queue - 1 do steps[#steps + 1] = ARGV[n] end
for n = first_queue, #ARGV do queues[#queues + 1] = ARGV[n] end
local now, moved, is_due = wall(), {}, any_due(queues)
for n, queue in ipairs(queues) do moved[n] = is_due and move_due(queue, now) or 0 end

-- Whether there is anything at all: an idle worker should cost the server little.
local lists = {}
for _, step in ipairs(steps) do
  for _, queue in ipairs(queues) do lists[#lists + 1] = list_of(queue, step) end
end
if left > 0 and redis.call('EXISTS', unpack(lists)) == 0 then steps = {} end

-- How much of each list is taken: within a priority the queues share alike what is left.
local function shares(step)
  if #queues == 1 then return {left} end
  local sizes, given, active = {}, {}, {}
  for n, queue in ipairs(queues) do
    sizes[n] = redis.call('LLEN', list_of(queue, step))
    given[n] = 0
    if sizes[n] > 0 then active[#active + 1] = n end
  end
  local rest = left
  while rest > 0 and #active > 0 do
    local share, still = math.max(1, math.floor(rest / #active)), {}
    for _, n in ipairs(active) do
      local more = math.min(share, sizes[n] - given[n], rest)
      given[n] = given[n] + more
      rest = rest - more
      if given[n] < sizes[n] then still[#still + 1] = n end
    end
    active = still
  end
  return given
end

-- A take ends with the message that reaches this, so that what one call brings has a bound beside its number.
local MAX_BYTES, size = 8 * 1024 * 1024, 0
local fields, trims, answer, tag = {}, {}, {'ok', now, ''}, tonumber(last)
local seen, forget = {}, {}

-- The next messages of a list, the first to be taken first: at most `count`, and little more than a call may bring.
local function read(key, count)
  local found, bytes, some = {}, 0, math.min(count, 8)
  while some > 0 and size + bytes < MAX_BYTES do
    local part = redis.call('LRANGE', key, -#found - some, -#found - 1)
    if #part == 0 then break end
    for n = #part, 1, -1 do
      found[#found + 1] = part[n]
      bytes = bytes + #part[n]
    end
    some = math.min(count - #found, math.max(1, math.floor((MAX_BYTES - size - bytes) / (bytes / #found))))
  end
  return found
end

local function hold(n, step, message)
  local queue, count = queues[n], ''
  if seen[n] == nil then seen[n] = redis.call('EXISTS', BASE .. 'counts:' .. queue) == 1 end
  if seen[n] then
    local name = digest(message)
    count = redis.call('HGET', BASE .. 'counts:' .. queue, name) or ''
    if count ~= '' then forget[#forget + 1] = {queue, name} end
  end
  tag = tag + 1
  fields[#fields + 1] = string.format('%d:%s:%s', tag, step, queue)
  fields[#fields + 1] = (count == '' and '0:0:' .. now .. ':0:' or count .. ':1:') .. message
  answer[#answer + 1] = n
  answer[#answer + 1] = step
  answer[#answer + 1] = count
  answer[#answer + 1] = message
end

for _, step in ipairs(steps) do
  if left <= 0 then break end
  local given, found, longest = shares(step), {}, 0
  for n, queue in ipairs(queues) do
    if given[n] > 0 then
      local key = list_of(queue, step)
      found[n] = read(key, given[n])
      trims[#trims + 1] = {key, 0}
      found[n].trim = trims[#trims]
      longest = math.max(longest, #found[n])
    end
  end
  for nth = 1, longest do -- in turns
    if size >= MAX_BYTES then break end
    for n = 1, #queues do
      local list = found[n]
      if list and nth <= #list then
        hold(n, step, list[nth])
        list.trim[2] = nth
        left = left - 1
        size = size + #list[nth]
        if size >= MAX_BYTES then left, found, longest = 0, {}, 0 end
      end
    end
  end
end

if #fields > 0 then
  fields[#fields + 1] = 'seq'
  fields[#fields + 1] = string.format('%d', tag)
  redis.call('HSET', held, unpack(fields)) -- copy first
  for _, one in ipairs(trims) do
    if one[2] > 0 then redis.call('LTRIM', one[1], 0, -one[2] - 1) end -- then remove
  end
  for _, one in ipairs(forget) do redis.call('HDEL', BASE .. 'counts:' .. one[1], one[2]) end
  for n, queue in ipairs(queues) do
    if left <= 0 and moved[n] > 0 then wake(queue, moved[n]) end
    if ARGV[10] == '1' then
      redis.call('SREM', BASE .. 'idle:' .. queue, cid)
      -- It may have been the only one that knew of the next due message.
      if is_due and redis.call('EXISTS', BASE .. 'due:' .. queue) == 1 then wake(queue, 1) end
    end
  end
  return answer
end
for _, queue in ipairs(is_due and queues or {}) do
  local soonest = redis.call('ZRANGE', BASE .. 'due:' .. queue, 0, 0, 'WITHSCORES')[2]
  if soonest then
    local pause = math.max(0, tonumber(soonest) - tonumber(now))
    if answer[3] == '' or pause < tonumber(answer[3]) then answer[3] = string.format('%.6f', pause) end
  end
end
if ARGV[9] == '1' then
  local counts = {}
  for n, queue in ipairs(queues) do
    redis.call('SADD', BASE .. 'idle:' .. queue, cid)
    counts[n] = BASE .. 'counts:' .. queue
  end
  redis.call('DEL', unpack(counts)) -- counts of messages that another program took
end
return answer
