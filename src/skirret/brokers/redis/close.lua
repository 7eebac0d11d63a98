-- End an incarnation: what it holds goes back to the fronts of its lists, uncounted.
--   KEYS[1]  what it holds
--   ARGV[6]  incarnation
--   then its queues
-- Answer: how many went back.

local held, cid = KEYS[1], ARGV[6]
if not redis.call('HGET', held, 'seq') then return 0 end -- it was reaped
local found = held_fields(held)
for _, one in ipairs(found) do
  local _, step, queue = parse_field(one[2])
  local deliveries, crashes, first, kept, message = parse_value(redis.call('HGET', held, one[2]))
  redis.call('RPUSH', list_of(queue, step), message)
  if kept == '1' then remember(queue, message, deliveries .. ':' .. crashes .. ':' .. first) end
end
redis.call('DEL', held)
redis.call('HDEL', BASE .. 'consumers', cid)
redis.call('HDEL', BASE .. 'processes', cid)
for n = 7, #ARGV do redis.call('SREM', BASE .. 'idle:' .. ARGV[n], cid) end
for _, one in ipairs(found) do
  local _, _, queue = parse_field(one[2])
  wake(queue, 1)
end
return #found
