-- Store results by compare-and-set, in order; needs results.lua before it.
-- KEYS  for each result: its key, the key of its mark
-- ARGV  for each result: state, payload, milliseconds to live ('' for ever), what its writer has learnt ('' nothing)
-- Gives for each result: 1 it was written, 0 the old one stays, -1 the old one does not tell its state: it is to be
-- read, and this to be called again with what was learnt: seal, line feed, state.
local done = {}
for i = 1, #KEYS, 2 do
  local at = i * 2 - 1
  local key, mark, state, payload, life, learnt = KEYS[i], KEYS[i + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local old = stored_state(key, mark)
  if old == '' and learnt ~= '' then
    local of = seal(redis.call('STRLEN', key), redis.call('GETRANGE', key, -16, -1)) .. '\n'
    if string.sub(learnt, 1, #of) == of then old = string.sub(learnt, #of + 1) else old = '' end
  end
  if old == '' then
    done[#done + 1] = -1
  elseif supersedes(state, old) then
    put_result(key, mark, state, payload, life)
    done[#done + 1] = 1
  elseif redis.call('STRLEN', key) == #payload and redis.call('GET', key) == payload then
    done[#done + 1] = 1 -- by an earlier try, whose answer was lost
  else
    done[#done + 1] = 0
  end
end
return done
