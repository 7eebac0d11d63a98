-- Drop a queue's waiting messages.
--   KEYS[1]  the queue's due messages
--   ARGV[6]  queue
--   then the priority steps
-- Answer: how many there were.

local dropped = redis.call('ZCARD', KEYS[1])
redis.call('UNLINK', KEYS[1], BASE .. 'counts:' .. ARGV[6])
for n = 7, #ARGV do
  local key = list_of(ARGV[6], ARGV[n])
  dropped = dropped + redis.call('LLEN', key)
  redis.call('UNLINK', key)
end
return dropped
