-- Publish one message that is due now: what publish.lua does for many, in as few steps as possible.
--   KEYS[1]   nonces; names the slot
--   ARGV[1-5] as of every script (queue.lua)
--   ARGV[6]   nonce or ''
--   ARGV[7]   key of the ready list
--   ARGV[8]   queue
--   ARGV[9]   message
-- Answer: 1, or 0 if it was published before; -1 says that it is time to turn the nonces: ask publish.lua instead.

local base, nonce, queue = ARGV[1], ARGV[6], ARGV[8]
if nonce ~= '' then
  if redis.call('EXISTS', base .. 'nonces:turn') == 0 then return -1 end
  local is_known = redis.call('SISMEMBER', base .. 'nonces:before', nonce) == 1
  if is_known or redis.call('SADD', KEYS[1], nonce) == 0 then
    redis.call('INCR', base .. 'serial') -- a write, which a WAIT behind this can wait for
    return 0
  end
end
local length = redis.pcall('LPUSH', ARGV[7], ARGV[9])
if type(length) ~= 'number' then
  redis.call('SREM', KEYS[1], nonce) -- what was not stored may come again
  return length
end
if length == 1 then redis.call('SADD', base .. 'queues', queue) end
while true do
  local who = redis.call('SPOP', base .. 'idle:' .. queue)
  if not who or redis.call('PUBLISH', ARGV[2] .. who, queue) > 0 or ARGV[4] == '}' then return 1 end
end
