-- Count a queue's messages by kind.
--   KEYS[1]  consumers
--   ARGV[6]  queue
--   then the priority steps
-- Answer: {ready, held, delayed, dead}. Messages whose time has come are ready.

local queue, ready, held = ARGV[6], 0, 0
for n = 7, #ARGV do ready = ready + redis.call('LLEN', list_of(queue, ARGV[n])) end
local due = BASE .. 'due:' .. queue
local come = redis.call('ZCOUNT', due, '-inf', wall())
local holders = redis.call('HKEYS', KEYS[1])
for _, cid in ipairs(redis.call('SMEMBERS', BASE .. 'fenced')) do holders[#holders + 1] = cid end
for _, cid in ipairs(holders) do
  for _, field in ipairs(redis.call('HKEYS', BASE .. 'held:' .. cid)) do
    local _, _, home = parse_field(field)
    if home == queue then held = held + 1 end
  end
end
return {ready + come, held, redis.call('ZCARD', due) - come, redis.call('XLEN', BASE .. 'dead:' .. queue)}
