"""Internal: the Lua scripts: each changes one document in one atomic round trip, and treats every value as opaque text.

Redis' ``cjson`` would turn ``[]`` into ``{}`` and round long numbers, so no script decodes a value. A script names one
key, so that it runs on any slot of a cluster; one that keeps changes names their stream, too. Redis does not undo what
a failed script has written: whatever can fail comes before the first write, or is undone. So is an update whose answer
can't be read.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from divan.changes import KEPT


class Script(NamedTuple):
    """One script.

    Attributes:
        text: Its source.
        sha: The digest by which a server that has seen the source runs it.
    """

    text: bytes
    sha: bytes


def _script(*parts: str) -> Script:
    text = "\n".join(part.strip() for part in parts).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


MISSING: Final = 0
"""What a script returns if there is no such document; what `CREATE` returns if there is one."""

CONFLICT: Final = 1
"""What a script returns if the document no longer has the revision that was given."""

DONE: Final = 2
"""What `CREATE` and `DELETE` return if they have done it."""


def _put(first: str, last: str) -> str:
    """Lua that sets the fields in these arguments; unpack() takes some 8,000 at most, and a document may have more."""
    return f"for i = {first}, {last}, 2000 do redis.call('HSET', key, unpack(ARGV, i, math.min(i + 1999, {last}))) end"


# A hash that another tool wrote has no counter: its revision is 0.
_CHECK = """
local key = KEYS[1]
local held = redis.call('HGET', key, '_rev')
if not held and redis.call('EXISTS', key) == 0 then return 0 end
if ARGV[1] ~= '' and ARGV[1] ~= '=' .. (held or '0') then return 1 end
"""

CREATE: Final = _script(
    """
local key = KEYS[1]
if redis.call('EXISTS', key) == 1 then
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' then return {kind} end
  return 0
end
""",
    _put("1", "#ARGV"),
    "return 2",
)
"""Store a new hash.

Args: its fields, ``_rev`` among them, as name and text in turn.
Returns: `MISSING` if the key is taken, or, in a list, the type of what it is taken by if that is no hash; else `DONE`.
"""

_READABLE = r"""
-- Whether a field's text is JSON that anyone can read, told by the text alone: what is known to be right is made
-- shorter, until a single 0 is left. It never says yes to what can't be read, and says no if it is not sure.
local gsub, find = string.gsub, string.find

local function is_text(text)
  if not find(text, '[\128-\255]') then return true, text end
  local rest = '[\128-\191]'
  text = gsub(text, '[\194-\223]' .. rest, 'x')
  text = gsub(text, '[\225-\236\238\239]' .. rest .. rest, 'x')
  text = gsub(text, '\224[\160-\191]' .. rest, 'x')
  text = gsub(text, '\237[\128-\159]' .. rest, 'x')
  text = gsub(text, '\240[\144-\191]' .. rest .. rest, 'x')
  text = gsub(text, '[\241-\243]' .. rest .. rest .. rest, 'x')
  text = gsub(text, '\244[\128-\143]' .. rest .. rest, 'x')
  return not find(text, '[\128-\255]'), text
end

-- `simple`: nothing in it but printable ASCII, and no backslash.
local function is_readable(text, simple)
  local first = string.byte(text)
  if simple and first == 34 then return find(text, '"', 2, true) == #text end
  if text == 'true' or text == 'false' or text == 'null' or text == '0' then return true end
  if #text < 1000 and (find(text, '^%-?[1-9]%d*$') or find(text, '^%-?[1-9]%d*%.%d+$')) then return true end
  if not simple then
    local fine
    fine, text = is_text(text)
    if not fine or find(text, '[%z\1-\31]') then return false end
    if find(text, '\\', 1, true) then
      local escapes = {['"'] = 'x', ['\\'] = 'x', ['/'] = 'x', b = 'x', f = 'x', n = 'x', r = 'x', t = 'x', u = '\4'}
      text = gsub(text, '\\(.)', escapes)
      text = gsub(text, '\4%x%x%x%x', 'x')
      if find(text, '[\\\4]') then return false end
    end
  end
  text = gsub(text, '"[^"]*"', '\1')
  if find(text, '[ "]') then
    text = gsub(text, '([,:]) ', '%1')
    if find(text, '[ "]') then return false end
  end
  if find(text, '%d') then
    if find(text, '^%-?0%d') or find(text, '[%[,:]%-?0%d') then return false end
    if #text > 1000 and find(text, string.rep('%d', 1000)) then return false end -- more than Python takes
    if find(text, '[%.eE]') then
      if find(text, '[eE][+-]?%d+%.') then return false end
      text = gsub(text, '%d+', '0')
      text = gsub(text, '0%.0', '0')
      text = gsub(text, '0[eE][+-]?0', '0')
      text = gsub(text, '%-0', '0')
    else
      text = gsub(text, '%-?%d+', '0')
    end
  end
  if find(text, '%l') then text = gsub(gsub(gsub(text, 'true', '0'), 'false', '0'), 'null', '0') end
  -- A member of an object, with its value: \2. A name that still waits for its value: \3.
  if first == 123 then
    text = gsub(text, '\1:[\0010]', '\2')
    if find(text, '^{\2[,\2]*}$') and not find(text, ',[,}]') and not find(text, '\2\2') then return true end
  end
  if find(text, ':', 1, true) then text = gsub(text, '\1:', '\3') end
  text = gsub(text, '\1', '0')
  if find(text, '^%[0[,0]*%]$') and not find(text, ',[,%]]') and not find(text, '00', 1, true) then return true end
  for _ = 1, 200 do
    if text == '0' then return true end
    local before = text
    text = gsub(text, '\0030', '\2')
    text = gsub(text, ',0,0', ',0')
    text = gsub(text, ',\2,\2', ',\2')
    text = gsub(text, '%[0,0%]', '0')
    text = gsub(text, '{\2,\2}', '0')
    text = gsub(text, '%[0?%]', '0')
    text = gsub(text, '{\2?}', '0')
    if text == before then return false end
  end
  return false
end
"""

UPDATE: Final = _script(
    _CHECK,
    _READABLE,
    """
local sets, removals, known = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local first = 5 + sets + removals
local last = #ARGV - math.max(known, 0)

redis.call('HINCRBY', key, '_rev', 1)
local undo = {}
local function keep(name, text) undo[#undo + 1] = {name, text} end
local function restore()
  for j = #undo, 1, -1 do
    if undo[j][2] then redis.call('HSET', key, undo[j][1], undo[j][2]) else redis.call('HDEL', key, undo[j][1]) end
  end
end
keep('_rev', held)

-- The sum's text, or nothing if there is none. Lua's numbers are floats, so that integers are Redis' business.
local function add(name, old, by)
  local text = '0'
  if old then text = string.match(old, '^%s*(.-)%s*$') end
  if text == '-0' then text = '0' end -- the integer; a float would be -0.0
  if string.find(text, '^%-?%d+$') and string.find(by, '^%-?%d+$') then
    if old and text ~= old then redis.call('HSET', key, name, text) end
    return type(redis.pcall('HINCRBY', key, name, by)) == 'number'
  end
  if not string.find(text, '^%-?%d') or string.find(text, '[xX]') then return false end
  local one, other = tonumber(text), tonumber(by)
  if not one or not other then return false end
  local sum = one + other
  if sum ~= sum or sum == math.huge or sum == -math.huge then return false end
  for digits = 15, 17 do
    text = string.format('%.' .. digits .. 'g', sum)
    if tonumber(text) == sum then break end
  end
  if not string.find(text, '[.e]') then text = text .. '.0' end
  redis.call('HSET', key, name, text)
  return true
end

for i = first, last, 2 do
  local name = ARGV[i]
  local old = redis.call('HGET', key, name)
  keep(name, old)
  if not add(name, old, ARGV[i + 1]) then
    restore()
    if known < 0 then return {{name, old or '0'}} end -- the one before may have been handed back
    return name .. '\\0' .. (old or '0')
  end
end

for i = 5, first - 1 do
  if i > 4 + sets or i % 2 == 1 then keep(ARGV[i], redis.call('HGET', key, ARGV[i])) end
end
""",
    _put("5", "4 + sets"),
    """
for i = 5 + sets, first - 1, 2000 do
  redis.call('HDEL', key, unpack(ARGV, i, math.min(i + 1999, first - 1)))
end

local all = redis.call('HGETALL', key)
local joined = table.concat(all, ' ')
local simple = find(joined, '^[ -~]*$') and not find(joined, '\\\\', 1, true)
local doubtful
for i = 1, #all, 2 do
  local name, text = all[i], all[i + 1]
  if not is_readable(text, simple) or not (simple or is_text(name)) then
    doubtful = doubtful or {}
    doubtful[name] = text
  end
end
if known < 0 then -- if one before was handed back for a field that this one replaces, so is this one
  for i = 2, #undo do
    if undo[i][2] and not is_readable(undo[i][2], false) then
      restore()
      return {{undo[i][1], undo[i][2]}}
    end
  end
end
if doubtful then
  for i = 1, #undo do doubtful[undo[i][1]] = nil end -- these are new
  for i = last + 1, #ARGV, 2 do
    if doubtful[ARGV[i]] == ARGV[i + 1] then doubtful[ARGV[i]] = nil end
  end
  if next(doubtful) then
    restore()
    local answer = {}
    for name, text in pairs(doubtful) do
      answer[#answer + 1] = name
      answer[#answer + 1] = text
    end
    return {answer}
  end
end
return all
""",
)
"""Merge fields into a hash, and count its revision up.

Args: ``""`` or ``=`` and the revision it must have; how many arguments set fields; how many remove fields; how many
    say what can be read, or -1 if an update was sent just before that this one must not overtake; then name and text in
    turn of each field to set; the names to remove; name and number in turn of each field to add to; name and text in
    turn of fields that stay and can be read.
Returns: `MISSING`, `CONFLICT`, all fields as ``HGETALL`` gives them, or, if a number can't be added, the field's name
    and its text with NUL between. If there are fields that would stay and of which it is not sure that they can be
    read, nothing is changed: a list that holds one, with name and text of such fields in turn.
"""

REPLACE: Final = _script(
    """
local key = KEYS[1]
local held = redis.call('HGET', key, '_rev')
local rev = ARGV[2]
if held or redis.call('EXISTS', key) == 1 then
  if ARGV[1] ~= '' and ARGV[1] ~= '=' .. (held or '0') then return 1 end
  redis.call('HINCRBY', key, '_rev', 1)
  rev = redis.call('HGET', key, '_rev')
  local old = redis.call('HGETALL', key) -- field by field, as the key may have a time to live, which goes with it
  local names = {}
  for i = 1, #old, 2 do
    if old[i] ~= '_rev' then names[#names + 1] = old[i] end
  end
  for i = 1, #names, 2000 do redis.call('HDEL', key, unpack(names, i, math.min(i + 1999, #names))) end
elseif rev == '' or ARGV[1] ~= '' then
  return 0
end
if not held then redis.call('HSET', key, '_rev', rev) end
""",
    _put("3", "#ARGV"),
    "return rev",
)
"""Store a hash in place of another, whose time to live it keeps.

Args: ``""`` or ``=`` and the revision it must have; the revision to begin with if there is none, or ``""`` if there
    must be one; the fields as name and text in turn.
Returns: `MISSING`, `CONFLICT`, or the new revision's text.
"""

DELETE: Final = _script(
    _CHECK,
    """
redis.call('DEL', key)
return 2
""",
)
"""Delete a hash, and nothing of another type.

Args: ``""`` or ``=`` and the revision it must have.
Returns: `MISSING`, `CONFLICT`, or `DONE`.
"""

ALL: Final = (CREATE, UPDATE, REPLACE, DELETE)
"""Every script."""


def _watched(script: Script) -> Script:
    """A script that also adds what it has changed to a stream, its second key: in the same step, or not at all."""
    return _script(
        """
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'none' and kind ~= 'stream' then
  return redis.error_reply('ERR the key ' .. KEYS[2] .. ' keeps the changes, and holds no stream but a ' .. kind)
end
local before = redis.call('EXISTS', KEYS[1]) == 1 and (redis.call('HGET', KEYS[1], '_rev') or '0')
local function change()
""",
        script.text.decode(),
        f"""
end
local answer = change()
local after = redis.call('EXISTS', KEYS[1]) == 1 and (redis.call('HGET', KEYS[1], '_rev') or '0')
if before ~= after then
  local kind = 'updated'
  if not before then kind = 'created' elseif not after then kind = 'deleted' end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', '{KEPT}', '*', 'kind', kind, 'key', KEYS[1], 'rev', after or '')
end
return answer
""",
    )


WATCHED: Final = {script.sha: _watched(script) for script in ALL}
"""The digest of each script → the one that also adds what it has changed to a stream."""
