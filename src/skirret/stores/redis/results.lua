-- Functions for results, put before the scripts that write them: settle.lua of the broker, store.lua of the backend.
-- A finished task never changes, except that SUCCESS beats an earlier FAILURE or REVOKED (skirret.states.supersedes).

local FINISHED = {SUCCESS = true, FAILURE = true, REVOKED = true}

-- How many bytes of a payload are looked at for its state: Celery writes the state first.
local HEAD = 96

-- The state that a payload's first bytes tell, in JSON, msgpack or pickle (4 and later, 2 and 3). Else nil.
local function told_state(head)
  local state = string.match(head, '^{%s*"status"%s*:%s*"([^"\\]*)"')
  if state then return state end
  local at = string.match(head, '^[\128-\143]\166status()') or string.match(head, '^\222..\166status()')
  if at then
    local size = (string.byte(head, at) or 0) - 160
    if size >= 0 and size < 32 and #head >= at + size then return string.sub(head, at + 1, at + size) end
    return nil
  end
  return string.match(head, '^\128.-status\148\140.([%w_%-]+)\148') or string.match(head, '^\128.-statusq.X.%z%z%z([%w_%-]-)q')
end

-- What ties a mark to the payload that it was written for: its length and its end.
local function seal(size, tail)
  return size .. ':' .. tail
end

-- The state of a YAML payload, whose keys are sorted; a text cannot have a line that begins so. Else nil.
local function yaml_state(key, head)
  if not (string.find(head, '^children:') or string.find(head, '^args:')) then return nil end
  return string.match(redis.call('GET', key), '\nstatus: ([%w_%-]+)\n')
end

-- The state of the result under `key`: nil if there is none, '' if its payload does not tell.
--   mark: the key that keeps the state of such a payload, or `key` itself for none
local function stored_state(key, mark)
  local head = redis.call('GETRANGE', key, 0, HEAD - 1)
  if head == '' then return nil end
  local state = told_state(head)
  if state then return state end
  local kept = mark ~= key and redis.call('GET', mark)
  if kept then
    -- A mark that another writer's payload has outlived says nothing.
    local of = seal(redis.call('STRLEN', key), redis.call('GETRANGE', key, -16, -1))
    if string.sub(kept, 1, #of + 1) == of .. '\n' then return string.sub(kept, #of + 2) end
  end
  return yaml_state(key, head) or ''
end

-- Whether a result in state `new` may take the place of one in state `old` (nil if there is none).
local function supersedes(new, old)
  return not FINISHED[old or ''] or (new == 'SUCCESS' and old ~= 'SUCCESS')
end

-- Write one result, whatever is there, and tell those who wait: as Celery does, under the name of the key.
--   life: milliseconds, '' for ever
local function put_result(key, mark, state, payload, life)
  local marked = mark ~= key and told_state(string.sub(payload, 1, HEAD)) ~= state
  local note = marked and seal(#payload, string.sub(payload, -16)) .. '\n' .. state
  if life == '' then
    redis.call('SET', key, payload)
    if marked then redis.call('SET', mark, note) end
  else
    redis.call('SET', key, payload, 'PX', life)
    if marked then redis.call('SET', mark, note, 'PX', life) end
  end
  redis.call('PUBLISH', key, payload)
end

-- Write one result by compare-and-set and tell those who wait; 1 if it was written, 0 if the old one stays.
-- A payload of others whose state cannot be told counts as that of a task that has not finished.
local function write_result(key, mark, state, payload, life)
  if told_state(string.sub(payload, 1, HEAD)) == state then
    -- The usual case, in which there is none yet, takes one step.
    local is_new
    if life == '' then is_new = redis.call('SET', key, payload, 'NX')
    else is_new = redis.call('SET', key, payload, 'PX', life, 'NX') end
    if is_new then
      redis.call('PUBLISH', key, payload)
      return 1
    end
  end
  if not supersedes(state, stored_state(key, mark)) then return 0 end
  put_result(key, mark, state, payload, life)
  return 1
end
