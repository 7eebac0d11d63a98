-- Functions for results, put before the scripts that write them: settle.lua of the broker, store.lua of the backend.
-- A finished task never changes, except that SUCCESS beats an earlier FAILURE or REVOKED (skirret.states.supersedes).

local FINISHED = {SUCCESS = true, FAILURE = true, REVOKED = true}

-- The state that a payload tells by itself: Celery's JSON begins with it. Else nil.
local function told_state(payload)
  return string.match(payload, '^{"status": ?"([^"\\]*)"')
end

-- The state of the result under `key`, or nil. `mark` is the key that keeps the state of a payload which does not tell.
local function stored_state(key, mark)
  local old = redis.call('GET', key)
  if not old then return nil end
  return told_state(old) or redis.call('GET', mark) or nil
end

-- Write one result by compare-and-set and tell those who wait; 1 if it was written, 0 if the old one stays.
--   life: milliseconds, '' for ever
local function write_result(key, mark, state, payload, life)
  local old = stored_state(key, mark)
  if old and FINISHED[old] and not (state == 'SUCCESS' and old ~= 'SUCCESS') then return 0 end
  local marked = not told_state(payload)
  if life == '' then
    redis.call('SET', key, payload)
    if marked then redis.call('SET', mark, state) end
  else
    redis.call('SET', key, payload, 'PX', life)
    if marked then redis.call('SET', mark, state, 'PX', life) end
  end
  redis.call('PUBLISH', key, payload)
  return 1
end
