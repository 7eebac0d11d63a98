-- Functions of queues, put before every script of the broker.
--
-- Every script's first arguments:
--   ARGV[1]  base: what Skirret's own keys begin with (in a cluster with the queue as hash tag)
--   ARGV[2]  what the channels begin with on which a waiting incarnation is woken
--   ARGV[3]  what stands before a queue's name in the key of its ready lists
--   ARGV[4]  what stands after it; '}' says that this is a cluster
--   ARGV[5]  what stands between a queue's name and a priority step: kombu's separator
-- Keys that are not in KEYS are made of these; in a cluster all of them are of one slot.
--
-- Forms:
--   a held field    <tag>:<step>:<queue>
--   a held value    <deliveries>:<crashes>:<first>:<kept>:<message>
--   a due member    <serial>:<deliveries>:<crashes>:<first>:<kept>:<step>:<message>
--   a count         <deliveries>:<crashes>:<first>
-- `first` is when it was delivered first, in seconds since the epoch; `kept` is 1 if the counts must be remembered
-- while the message is in a ready list, because it came back.

local BASE, WAKE, LEFT, RIGHT, SEPARATOR = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local function wall()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function list_of(queue, step)
  if step == '0' then return LEFT .. queue .. RIGHT end
  return LEFT .. queue .. RIGHT .. SEPARATOR .. step
end

-- What a message's counts are kept under. Senders give each message a tag of its own, near its end.
local function digest(message)
  if #message <= 4096 then return redis.sha1hex(message) end
  return redis.sha1hex(#message .. ':' .. string.sub(message, 1, 1024) .. string.sub(message, -1024))
end

-- Wake up to `count` incarnations that wait for a message of this queue.
local function wake(queue, count)
  local idle = BASE .. 'idle:' .. queue
  while count > 0 do
    local who = redis.call('SPOP', idle)
    if not who then return end
    -- Nobody listens for an incarnation that is gone; a cluster's node knows only its own listeners.
    if redis.call('PUBLISH', WAKE .. who, queue) > 0 or RIGHT == '}' then count = count - 1 end
  end
end

local function remember(queue, message, count)
  redis.call('HSET', BASE .. 'counts:' .. queue, digest(message), count)
end

-- Put a message to the end of its queue.
local function append(queue, step, message)
  if redis.call('LPUSH', list_of(queue, step), message) == 1 then
    redis.call('SADD', BASE .. 'queues', queue)
  end
end

-- Put a message to those that wait for their time. `counts` is <deliveries>:<crashes>:<first>:<kept>.
local function put_off(queue, step, due, counts, message)
  local serial = string.format('%016x', redis.call('INCR', BASE .. 'serial'))
  redis.call('ZADD', BASE .. 'due:' .. queue, due, serial .. ':' .. counts .. ':' .. step .. ':' .. message)
  redis.call('SADD', BASE .. 'queues', queue)
end

-- Move messages whose time has come to the ends of their lists, the soonest first; how many.
local function move_due(queue, now)
  local due = BASE .. 'due:' .. queue
  local come = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 500)
  for _, member in ipairs(come) do
    local count, kept, step, at = string.match(member, '^%x+:(%d+:%d+:[%d.]+):(%d):(%d+):()')
    local message = string.sub(member, at)
    append(queue, step, message)
    if kept == '1' then remember(queue, message, count) end
  end
  if #come > 0 then redis.call('ZREMRANGEBYRANK', due, 0, #come - 1) end
  return #come
end

-- Whether any of the queues has messages that wait for their time.
local function any_due(queues)
  local keys = {}
  for n, queue in ipairs(queues) do keys[n] = BASE .. 'due:' .. queue end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

-- Whether a message of this queue that is not due yet may be kept among those that wait: only our workers move them.
-- Where Celery's workers have been (they bind this) and none of ours beat lately for the queue, it goes Celery's way: into
-- the ready list, with its eta. Whoever takes it waits; a worker of ours puts it off as soon as it comes.
local function keeps_time(queue)
  if RIGHT == '}' then return true end -- a cluster is not shared with Celery
  if redis.call('EXISTS', BASE .. 'served:' .. queue) == 1 then return true end
  return redis.call('EXISTS', LEFT .. '_kombu.binding.celery.pidbox') == 0
end

-- Publish one message; a nonce that was stored lately says that it was published before. '' is no nonce.
local function publish(nonce, due, step, queue, message)
  if nonce ~= '' then
    local known = redis.call('SISMEMBER', BASE .. 'nonces', nonce) == 1
      or redis.call('SISMEMBER', BASE .. 'nonces:before', nonce) == 1
    if known then return end
  end
  if due ~= '' and tonumber(due) > tonumber(wall()) and keeps_time(queue) then
    put_off(queue, step, due, '0:0:0:0', message)
  else
    append(queue, step, message)
  end
  wake(queue, 1)
  if nonce ~= '' then redis.call('SADD', BASE .. 'nonces', nonce) end
end

-- Half a minute's nonces become those of before, so that each is remembered for 30 to 60 seconds.
local function turn_nonces()
  if redis.call('EXISTS', BASE .. 'nonces:turn') == 0 then
    redis.call('SET', BASE .. 'nonces:turn', '1', 'EX', 30)
    redis.call('UNLINK', BASE .. 'nonces:before')
    if redis.call('EXISTS', BASE .. 'nonces') == 1 then
      redis.call('RENAME', BASE .. 'nonces', BASE .. 'nonces:before')
      redis.call('EXPIRE', BASE .. 'nonces:before', 60)
    end
  end
end

local function parse_field(field)
  return string.match(field, '^(%d+):(%d+):(.*)$') -- tag, step, queue
end

local function parse_value(value)
  local deliveries, crashes, first, kept, at = string.match(value, '^(%d+):(%d+):([%d.]+):(%d):()')
  return tonumber(deliveries), tonumber(crashes), first, kept, string.sub(value, at)
end

-- Make a message a dead letter of its queue.
local function bury(queue, step, message, reason, deliveries, crashes)
  local serial = redis.call('INCR', BASE .. 'serial')
  redis.call('XADD', BASE .. 'dead:' .. queue, '*', 'message', message, 'reason', reason, 'deliveries', deliveries,
    'crashes', crashes, 'step', step, 'died', wall(), 'serial', serial)
  redis.call('SADD', BASE .. 'queues', queue)
end

-- The fields of a held hash that are messages, the newest tag first.
local function held_fields(held)
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', held)) do
    local tag = string.match(field, '^(%d+):')
    if tag then found[#found + 1] = {tonumber(tag), field} end
  end
  table.sort(found, function(a, b) return a[1] > b[1] end)
  return found
end
