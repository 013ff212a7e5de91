"""Internal: the Lua scripts: each changes one document in one atomic round trip, and treats every value as opaque text.

Redis' ``cjson`` would turn ``[]`` into ``{}`` and round long numbers, so no script decodes a value. A script names one
key, so that it runs on any slot of a cluster. Redis does not undo what a failed script has written: whatever can fail
comes before the first write, or is undone.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple


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
if redis.call('EXISTS', key) == 1 then return 0 end
""",
    _put("1", "#ARGV"),
    "return 2",
)
"""Store a new hash.

Args: its fields, ``_rev`` among them, as name and text in turn.
Returns: `MISSING` if the key is taken, else 2.
"""

UPDATE: Final = _script(
    _CHECK,
    """
local sets, removals = tonumber(ARGV[2]), tonumber(ARGV[3])
local first = 4 + sets + removals

redis.call('HINCRBY', key, '_rev', 1)
local undo = {}
local function keep(name, text) undo[#undo + 1] = {name, text} end
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

for i = first, #ARGV, 2 do
  local name = ARGV[i]
  local old = redis.call('HGET', key, name)
  keep(name, old)
  if not add(name, old, ARGV[i + 1]) then
    for j = #undo, 1, -1 do
      if undo[j][2] then redis.call('HSET', key, undo[j][1], undo[j][2]) else redis.call('HDEL', key, undo[j][1]) end
    end
    return name .. '\\0' .. (old or '0')
  end
end
""",
    _put("4", "3 + sets"),
    """
for i = 4 + sets, first - 1, 2000 do
  redis.call('HDEL', key, unpack(ARGV, i, math.min(i + 1999, first - 1)))
end
return redis.call('HGETALL', key)
""",
)
"""Merge fields into a hash, and count its revision up.

Args: ``""`` or ``=`` and the revision it must have; how many arguments set fields; how many remove fields; then name
    and text in turn of each field to set; the names to remove; name and number in turn of each field to add to.
Returns: `MISSING`, `CONFLICT`, all fields as ``HGETALL`` gives them, or, if a number can't be added, the field's name
    and its text with NUL between.
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
  redis.call('DEL', key)
elseif rev == '' or ARGV[1] ~= '' then
  return 0
end
redis.call('HSET', key, '_rev', rev)
""",
    _put("3", "#ARGV"),
    "return rev",
)
"""Store a hash in place of another.

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
"""Delete a hash that has not changed.

Args: ``=`` and the revision it must have.
Returns: `MISSING`, `CONFLICT`, or 2.
"""

ALL: Final = (CREATE, UPDATE, REPLACE, DELETE)
"""Every script."""
