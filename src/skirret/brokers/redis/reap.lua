-- Take over what an incarnation holds: fence it first, then move a batch of its messages home, each delivery counted.
--   KEYS[1]  what it holds
--   ARGV[6]  the incarnation
--   ARGV[7]  its beat as it was seen to stand still, or '' if it was fenced before
--   ARGV[8]  counted deliveries at which a message is dead
--   ARGV[9]  at most so many messages
-- Answer: {messages that went home, messages still held}; {-1, 0} if it lives, or somebody else is done with it.

local held, cid = KEYS[1], ARGV[6]
if ARGV[7] ~= '' then
  if redis.call('HGET', BASE .. 'consumers', cid) ~= ARGV[7] then return {-1, 0} end
  redis.call('SADD', BASE .. 'fenced', cid)
  redis.call('HDEL', BASE .. 'consumers', cid)
  redis.call('HDEL', BASE .. 'processes', cid)
  redis.call('HDEL', held, 'seq', 'done')
elseif redis.call('SISMEMBER', BASE .. 'fenced', cid) == 0 then
  return {-1, 0}
end

local found, home = held_fields(held), 0
local batch = math.min(#found, tonumber(ARGV[9]))
for n = 1, batch do
  local field = found[n][2]
  local _, step, queue = parse_field(field)
  local deliveries, crashes, first, _, message = parse_value(redis.call('HGET', held, field))
  deliveries = deliveries + 1
  if deliveries >= tonumber(ARGV[8]) then
    local reason = 'its worker vanished; that was counted delivery ' .. deliveries .. ' of it'
    bury(queue, step, message, reason, deliveries, crashes)
  else
    redis.call('RPUSH', list_of(queue, step), message)
    remember(queue, message, deliveries .. ':' .. crashes .. ':' .. first)
    wake(queue, 1)
    home = home + 1
  end
  redis.call('HDEL', held, field)
end
if batch == #found then
  redis.call('SREM', BASE .. 'fenced', cid)
  redis.call('DEL', held)
end
return {home, #found - batch}
