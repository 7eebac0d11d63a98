-- Publish messages.
--   KEYS[1]   nonces; names the slot
--   ARGV[6]   how many messages
--   then for each message: nonce or '', due in seconds since the epoch or '', priority step, queue, message
-- Answer: how many were new.

turn_nonces()
local count = tonumber(ARGV[6])
local nonces, told = {}, false
for n = 0, count - 1 do nonces[n + 1] = ARGV[7 + 5 * n] end
local known = redis.call('SMISMEMBER', BASE .. 'nonces', unpack(nonces))
local before = redis.call('SMISMEMBER', BASE .. 'nonces:before', unpack(nonces))

-- Lists get their messages by one command each; a message becomes known only after it was stored.
local lists, order, later, stored = {}, {}, {}, {}
for n = 1, count do
  if nonces[n] == '' or (known[n] == 0 and before[n] == 0) then
    local at = 7 + 5 * (n - 1)
    local due, step, queue = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    if due ~= '' then told = told or tonumber(wall()) end
    if due ~= '' and tonumber(due) > told and keeps_time(queue) then
      later[#later + 1] = {queue, step, due, ARGV[at + 4]}
    else
      local key = list_of(queue, step)
      if not lists[key] then
        lists[key] = {queue = queue}
        order[#order + 1] = key
      end
      local list = lists[key]
      list[#list + 1] = ARGV[at + 4]
    end
    if nonces[n] ~= '' then stored[#stored + 1] = nonces[n] end
  end
end
local added = 0
for _, key in ipairs(order) do
  local list = lists[key]
  if redis.call('LPUSH', key, unpack(list)) == #list then redis.call('SADD', BASE .. 'queues', list.queue) end
  wake(list.queue, #list)
  added = added + #list
end
for _, one in ipairs(later) do
  put_off(one[1], one[2], one[3], '0:0:0:0', one[4])
  wake(one[1], 1)
  added = added + 1
end
if added == 0 then redis.call('INCR', BASE .. 'serial') end -- a write, which a WAIT behind this can wait for
if #stored > 0 then redis.call('SADD', BASE .. 'nonces', unpack(stored)) end
return added
