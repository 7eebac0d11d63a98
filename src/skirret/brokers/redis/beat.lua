-- Say that an incarnation lives, and move messages whose time has come, also when nobody takes.
--   KEYS[1]  what the incarnation holds
--   ARGV[6]  incarnation
--   then its queues
-- Answer: 1, or 0 if it was reaped.

if redis.call('HEXISTS', BASE .. 'consumers', ARGV[6]) == 0 then return 0 end
redis.call('HINCRBY', BASE .. 'consumers', ARGV[6], 1)
local queues = {}
for n = 7, #ARGV do
  queues[#queues + 1] = ARGV[n]
  redis.call('SET', BASE .. 'served:' .. ARGV[n], '1', 'EX', 60) -- see keeps_time
end
if any_due(queues) then
  local now = wall()
  for _, queue in ipairs(queues) do wake(queue, move_due(queue, now)) end
end
return 1
