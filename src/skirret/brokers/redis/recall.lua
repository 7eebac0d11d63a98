-- Tell an incarnation what it holds beyond the tags that it knows: a take was done whose answer got lost.
--   KEYS[1]  what the incarnation holds
--   ARGV[6]  the last tag that it knows
-- Answer: {'fenced'} or {'ok', last tag, then for each message: field, value}, the oldest tag first.

local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq then return {'fenced'} end
local found, answer = held_fields(KEYS[1]), {'ok', seq}
for n = #found, 1, -1 do
  if found[n][1] > tonumber(ARGV[6]) then
    answer[#answer + 1] = found[n][2]
    answer[#answer + 1] = redis.call('HGET', KEYS[1], found[n][2])
  end
end
return answer
