"""The names of the keys in Redis, and the Lua scripts that Redis runs atomically.

The hash tag of a room's keys, in braces, is the room's name, so that one node of a Cluster stores
them all. Braces and percent signs in a name are written as `%7B`, `%7D` and `%25`. Each script
receives the keys LOG, STREAM, WHO and NODES first, and the arguments that `PRELUDE` names. Writes
depend on the time that the script reads from Redis; Redis replicates the effects, not the scripts.

Keys of a room, after `PREFIX:{ROOM}:`

- `log`: a hash. `epoch`, `offset` and `nonce` of the newest message; `base`, the first epoch of
  this log, which stays when the epoch changes; `ms`, the newest message time; `run`, the run of
  Redis that last published; `changes`, the number of joins and leaves; `listed`, whether the room
  is in the list of rooms.
- `stream`: the messages, with the ids `OFFSET-0`. `m` is JSON `[user, text, id, sent_at_ms]`, `t`
  the time of arrival, `n` the nonce of the call that published it.
- `id:DIGEST`: for a user and a message id, for five minutes: `base offset sent_at_ms fingerprint
  ms`.
- `who`: a hash of users, with the nodes that they are on, separated by spaces.
- `nodes`: a sorted set of the nodes with users here, by the end of their lease.

A nonce proves that two logs are equal up to a message, because each publishing call has its own. An
older copy of Redis that has grown since has another nonce at that offset. Notices also contain the
preceding nonce, so they are delivered only if they follow the known message.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b, sha1
from typing import NamedTuple

from redis.crc import key_slot

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})

CLUSTER_PARTS = 16
"""Number of parts of the room list in a Cluster, which spread it over the nodes."""


class RoomKeys(NamedTuple):
    slot: int
    base: str
    four: tuple[str, str, str, str]
    """The keys LOG, STREAM, WHO and NODES that every script starts with."""
    channel: str
    listed_in: str

    def of_id(self, user: str, message_id: str) -> str:
        return f"{self.base}id:{digest_of(user, message_id)}"


class Keys:
    def __init__(self, prefix: str, db: int, *, is_cluster: bool) -> None:
        self._prefix = prefix
        self._db = f"@{db}" if db else ""  # channels are shared by all databases
        parts = [f":{part}" for part in range(CLUSTER_PARTS)] if is_cluster else [""]
        self.indexes = [f"{prefix}:rooms{part}" for part in parts]
        self.servers_slot = slot_of(f"{prefix}:{{servers}}:")
        self.of_room = lru_cache(maxsize=10_000)(self._of_room)

    def of_servers(self, node: str) -> str:
        """Return the channel of one server, or the common channel for an empty `node`."""
        return f"{self._prefix}:{{servers}}:tell{self._db}:{node}"

    def room_of_channel(self, channel: str) -> str:
        tag = channel[channel.index("{") + 1 : channel.index("}")]
        return tag.replace("%7B", "{").replace("%7D", "}").replace("%25", "%")

    def _of_room(self, room: str) -> RoomKeys:
        base = f"{self._prefix}:{{{room.translate(_ESCAPES)}}}:"
        slot = slot_of(base)
        four = (f"{base}log", f"{base}stream", f"{base}who", f"{base}nodes")
        index = self.indexes[slot % len(self.indexes)]
        return RoomKeys(slot, base, four, f"{base}live{self._db}", index)


def digest_of(*texts: str) -> str:
    """Return a digest of the texts, such as the fingerprint of a message text."""
    digest = blake2b("\0".join(texts).encode(), digest_size=12).digest()
    return urlsafe_b64encode(digest).decode()


def slot_of(key: str) -> int:
    return key_slot(key.encode())


PRELUDE = """
if redis.replicate_commands then redis.replicate_commands() end
local LOG, STREAM, WHO, NODES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local fresh, clock, channel, tell_by, this_run = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local FEW = 600000
local function text(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = tonumber(clock) or server_ms
local log = redis.call('HMGET', LOG, 'epoch', 'offset', 'nonce', 'base', 'ms', 'run', 'listed')
local epoch, offset, nonce, base = log[1], tonumber(log[2]), log[3], log[4]
local latest, run, listed = tonumber(log[5] or 0), log[6] or '', log[7]
local function tell(message) redis.call(tell_by, channel, cjson.encode(message)) end

local function begin()
  if epoch then return end
  redis.call('DEL', LOG, STREAM)
  epoch, offset, nonce, base, latest, run, listed = fresh, 0, '', fresh, 0, this_run, false
  redis.call('HSET', LOG, 'epoch', epoch, 'offset', '0', 'nonce', '', 'base', base, 'run', run)
  redis.call('PEXPIRE', LOG, FEW)
end

local function rename()
  epoch, run = fresh, this_run
  redis.call('HSET', LOG, 'epoch', epoch, 'run', run)
  tell({'reset', epoch})
end

local function oldest()
  local found = redis.call('XRANGE', STREAM, '-', '+', 'COUNT', 1)[1]
  if not found then return offset + 1 end
  return tonumber(string.match(found[1], '%d+')), tonumber(found[2][4])
end

local function entry(at)
  return redis.call('XRANGE', STREAM, text(at) .. '-0', text(at) .. '-0')[1]
end

local function expire(age)
  local first, came = oldest()
  local limit = now - age
  if came and came <= limit then
    local last = offset
    while first <= last do
      local middle = math.floor((first + last) / 2)
      local found = entry(middle)
      local is_older = not found or tonumber(found[2][4]) <= limit
      if is_older then first = middle + 1 else last = middle - 1 end
    end
    redis.call('XTRIM', STREAM, 'MINID', text(first) .. '-0')
  end
  return first
end

local function nonce_at(at)
  if at == offset then return nonce end
  local found = entry(at)
  return found and found[2][6]
end

local function split(nodes, node)
  local others, was_there = {}, false
  for other in string.gmatch(nodes or '', '%S+') do
    if other == node then was_there = true else others[#others + 1] = other end
  end
  return others, was_there
end

local function store(user, nodes)
  if #nodes > 0 then
    redis.call('HSET', WHO, user, table.concat(nodes, ' '))
  else
    redis.call('HDEL', WHO, user)
    tell({'left', redis.call('HINCRBY', LOG, 'changes', 1), user})
  end
end

local function forget_dead()
  local dead = redis.call('ZRANGEBYSCORE', NODES, '-inf', server_ms)
  for _, node in ipairs(dead) do
    local users = redis.call('HGETALL', WHO)
    for i = 1, #users, 2 do store(users[i], (split(users[i + 1], node))) end
    redis.call('ZREM', NODES, node)
  end
end

local function changes() return tonumber(redis.call('HGET', LOG, 'changes') or 0) end
"""

HELD = b"HELD"
"""Reply while a restarted Redis waits for servers that may know a newer log."""


class Script(NamedTuple):
    source: str
    digest: str

    @classmethod
    def of(cls, body: str) -> Script:
        source = PRELUDE + body
        return cls(source, sha1(source.encode()).hexdigest())  # noqa: S324 - as Redis has it


PUBLISH = Script.of("""
local hold = tonumber(ARGV[6])
local known_epoch, known_offset, known_nonce = ARGV[7], tonumber(ARGV[8]), ARGV[9]
local call_nonce, count, age, window = ARGV[10], tonumber(ARGV[11]), ARGV[12], tonumber(ARGV[13])
begin()
if known_epoch == epoch
    and (known_offset > offset or known_offset == offset and known_nonce ~= nonce) then
  rename()
elseif run ~= this_run and run ~= '' and this_run ~= '' then
  local held = redis.call('HMGET', LOG, 'held', 'until')
  if held[1] ~= this_run then
    redis.call('HSET', LOG, 'held', this_run, 'until', text(server_ms + hold))
    return {'HELD'}
  elseif server_ms < tonumber(held[2]) then
    return {'HELD'}
  end
end
latest = math.max(latest, now)
redis.call('HSET', LOG, 'run', this_run, 'ms', text(latest))
expire(age)
local answer, added, first = {epoch, listed or ''}, {}, offset + 1
for i = 14, #ARGV, 4 do
  local key, sent, fingerprint, message = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local known = key > 0 and redis.call('GET', KEYS[key])
  local at_base, at, at_sent, of, ms
  if known then
    at_base, at, at_sent, of, ms = string.match(known, '(%S+) (%S+) (%S+) (%S+) (%S+)')
  end
  if known and at_base == base and tonumber(ms) > now - window then
    answer[#answer + 1] = of == fingerprint and 'duplicate' or 'conflict'
    answer[#answer + 1] = tonumber(at)
    answer[#answer + 1] = at_sent
  else
    offset = offset + 1
    local id = text(offset) .. '-0'
    redis.call('XADD', STREAM, id, 'm', message, 't', text(latest), 'n', call_nonce)
    if key > 0 then
      local value = table.concat({base, text(offset), sent, fingerprint, text(now)}, ' ')
      redis.call('SET', KEYS[key], value, 'PX', window)
    end
    added[#added + 1] = message
    answer[#answer + 1] = 'published'
    answer[#answer + 1] = offset
    answer[#answer + 1] = sent
  end
end
local keep = math.max(tonumber(age), window) + FEW
redis.call('PEXPIRE', LOG, text(keep))
if #added > 0 then
  redis.call('HSET', LOG, 'offset', text(offset), 'nonce', call_nonce)
  redis.call('XTRIM', STREAM, 'MAXLEN', count)
  redis.call('PEXPIRE', STREAM, text(keep))
  redis.call(tell_by, channel, '["messages","' .. epoch .. '",' .. text(first) .. ',"'
    .. nonce .. '","' .. call_nonce .. '",[' .. table.concat(added, ',') .. ']]')
end
return answer
""")
"""`hold`, `age` and `window` are in ms. Each draft has four arguments: the number of its id's key
or 0, its time, the fingerprint of its text, and the message. Returns the epoch, `listed`, and three
values per draft."""

LOOK = Script.of("""
local known_epoch, known_offset, known_nonce = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local limit, node, lease, age = tonumber(ARGV[9]), ARGV[10], tonumber(ARGV[11]), ARGV[12]
begin()
if redis.call('PTTL', LOG) < FEW then redis.call('PEXPIRE', LOG, FEW) end
local is_alive = 1
if node ~= '' then
  if redis.call('ZSCORE', NODES, node) then
    redis.call('ZADD', NODES, text(server_ms + lease), node)
    redis.call('PEXPIRE', NODES, 2 * lease)
    redis.call('PEXPIRE', WHO, 2 * lease)
  else
    is_alive = 0
  end
end
forget_dead()
local first, found = expire(age), {}
if known_epoch == epoch then
  local there = known_offset <= offset and nonce_at(known_offset)
  if known_offset > 0 and (known_offset > offset or there and there ~= known_nonce) then
    rename()
  elseif known_offset < offset and limit > 0 then
    if known_offset > 0 and not there then first = known_offset + 2 end
    found = redis.call('XRANGE', STREAM, text(known_offset + 1) .. '-0', '+', 'COUNT', limit)
  end
end
return {epoch, offset, nonce, first, changes(), is_alive, found}
""")
"""`node` is empty if it has no users here. Returns epoch, offset and nonce; the oldest offset that
is proven to belong to the same log; the number of presence changes; whether the node's users are
known; and the messages."""

READ = Script.of("""
local after, before, limit, newest, age = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9], ARGV[10]
begin()
local first = expire(age)
local from = text(after + 1) .. '-0'
local to = before == '' and '+' or text(tonumber(before) - 1) .. '-0'
local found = {}
if before == '' or tonumber(before) > after + 1 then
  if newest == '1' then
    found = redis.call('XREVRANGE', STREAM, to, from, 'COUNT', limit)
  else
    found = redis.call('XRANGE', STREAM, from, to, 'COUNT', limit)
  end
end
return {epoch, offset, first, found}
""")

JOIN = Script.of("""
local node, lease, user, is_there = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9] == '1'
begin()
forget_dead()
local nodes, was_there = split(redis.call('HGET', WHO, user), node)
if is_there then redis.call('ZADD', NODES, text(server_ms + lease), node) end
if is_there and not was_there then
  if #nodes == 0 then tell({'joined', redis.call('HINCRBY', LOG, 'changes', 1), user}) end
  nodes[#nodes + 1] = node
end
if is_there ~= was_there then store(user, nodes) end
redis.call('PEXPIRE', NODES, 2 * lease)
redis.call('PEXPIRE', WHO, 2 * lease)
return {epoch, listed or ''}
""")

QUIT = Script.of("""
begin()
if redis.call('ZSCORE', NODES, ARGV[6]) then redis.call('ZADD', NODES, 0, ARGV[6]) end
forget_dead()
""")

USERS = Script.of("""
begin()
forget_dead()
return {epoch, changes(), redis.call('HKEYS', WHO)}
""")

ABOUT = Script.of("""
if not epoch then return {'', 0, 0, 0} end
forget_dead()
expire(ARGV[6])
local messages, users = redis.call('XLEN', STREAM), redis.call('HLEN', WHO)
if messages + users == 0 then redis.call('HDEL', LOG, 'listed') end
return {epoch, offset, messages, users}
""")
"""Returns the position and the numbers of messages and users."""

SCRIPTS = (PUBLISH, LOOK, READ, JOIN, QUIT, USERS, ABOUT)
