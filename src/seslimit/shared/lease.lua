-- `Ledger.lease` of seslimit/_law/ledger.py, for Redis 6 or newer and Valkey; what it decides, and why, is told there.
-- KEYS: the ledger (hash), its log (list), its members and the hungry among them (sorted sets), and of each of them why
-- it rests, its ceiling, its part, and until when that is kept (hashes). ARGV: the request as JSON, how long it is all
-- kept.
local SECOND, LEASE, BURST, AHEAD, LATE = 1e6, 0.02e6, 0.02e6, 0.1e6, 0.17e6
local ALIVE, HUNGRY, LEADS, SINGLE, FIGURES, ASKING = 3e6, 1e6, 0.3e6, 1e6, 280e6, 12e6
local SILENT, KEEPS, AWAY, RETURNS, ALONE = 0.14e6, 10e6, 0.25e6, 1.5e6, 0.9
local ENTRIES, ROUNDING = 1000, 1e-9
local MEMBERS, HUNGRY_ONES, RESTS, CEILINGS, PARTS, KEPT = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]

local request = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * SECOND + tonumber(clock[2])
local function text(number) return string.format('%.17g', number) end
if request.sent > 0 and now - request.sent > LATE then
  return cjson.encode({now = text(now), stale = true})
end

local kept = redis.call('HGETALL', KEYS[1])
local ledger = {leader = '', quota = ''}
for i = 1, #kept, 2 do
  local name = kept[i]
  ledger[name] = (name == 'leader' or name == 'quota') and kept[i + 1] or tonumber(kept[i + 1])
end
local numbers = {'timeline', 'urgent', 'hold', 'seen', 'rate', 'limit', 'estimate', 'cap', 'single', 'epoch', 'term',
                 'leads_until', 'quota_at', 'asking_until', 'unheard', 'unheard_until'}
for _, name in ipairs(numbers) do ledger[name] = ledger[name] or 0 end
local fresh = ledger.rate == 0
if fresh then
  ledger.timeline, ledger.rate, ledger.limit, ledger.estimate = now, request.rate, request.limit, request.estimate
  ledger.epoch, ledger.term = request.epoch, request.term
end

local function numbers_of(key)
  local told, found = redis.call('HGETALL', key), {}
  for i = 1, #told, 2 do found[told[i]] = tonumber(told[i + 1]) end
  return found
end

local away = now > ledger.seen + AWAY
local kept_until = numbers_of(KEPT)
if now < ledger.seen then -- the clock was set back
  local back = ledger.seen - now
  for _, name in ipairs({'timeline', 'urgent', 'hold', 'leads_until', 'asking_until', 'quota_at', 'unheard_until'}) do
    ledger[name] = ledger[name] - back
  end
  local heard = redis.call('ZRANGE', MEMBERS, 0, -1, 'WITHSCORES')
  for i = 1, #heard, 2 do redis.call('ZADD', MEMBERS, text(tonumber(heard[i + 1]) - back), heard[i]) end
  for name, at in pairs(kept_until) do kept_until[name] = at - back end
  redis.call('DEL', HUNGRY_ONES)
end
ledger.seen = now
redis.call('ZADD', MEMBERS, text(now), request.member)
redis.call('ZREMRANGEBYSCORE', MEMBERS, '-inf', text(now - ALIVE))
if request.hungry then
  redis.call('ZADD', HUNGRY_ONES, text(now), request.member)
elseif request.want > 0 then
  redis.call('ZREM', HUNGRY_ONES, request.member)
end
redis.call('ZREMRANGEBYSCORE', HUNGRY_ONES, '-inf', text(now - HUNGRY))
local function is_there(name) return redis.call('ZSCORE', MEMBERS, name) end

-- What each tells of the whole account, for as long as it is there.
if request.most > 0 then
  redis.call('HSET', CEILINGS, request.member, text(request.most))
else
  redis.call('HDEL', CEILINGS, request.member)
end
local most = 0
for name, ceiling in pairs(numbers_of(CEILINGS)) do
  if not is_there(name) then
    redis.call('HDEL', CEILINGS, name)
  elseif most == 0 or ceiling < most then
    most = ceiling
  end
end
if request.rests ~= '' then
  redis.call('HSET', RESTS, request.member, request.rests)
else
  redis.call('HDEL', RESTS, request.member)
end
local rests, names, resting = redis.call('HGETALL', RESTS), {}, {}
for i = 1, #rests, 2 do
  if not is_there(rests[i]) then
    redis.call('HDEL', RESTS, rests[i])
  elseif rests[i] ~= request.member then
    names[#names + 1] = rests[i]
    resting[rests[i]] = rests[i + 1]
  end
end
table.sort(names)
for i, name in ipairs(names) do names[i] = resting[name] end

-- What each may go on with alone: `Parts` of seslimit/_law/parts.py.
local parts, others, gone = numbers_of(PARTS), {}, {}
for name in string.gmatch(request.gone, '%S+') do gone[name] = true end
for name in pairs(parts) do
  if away then kept_until[name] = math.max(kept_until[name], now + RETURNS) end
  if name ~= request.member and (gone[name] or kept_until[name] <= now) then
    redis.call('HDEL', PARTS, name)
    redis.call('HDEL', KEPT, name)
  elseif name ~= request.member then
    others[#others + 1] = name
    redis.call('HSET', KEPT, name, text(kept_until[name]))
  end
end
table.sort(others)
local of_others = 0
for _, name in ipairs(others) do of_others = of_others + parts[name] end
if request.part > 0 and not parts[request.member] then -- the ledger was emptied
  if ledger.unheard_until <= now then
    ledger.unheard, ledger.unheard_until = 1 - of_others, now + RETURNS
  end
  ledger.unheard = math.max(0, ledger.unheard - request.part)
end
local forgotten = ledger.unheard_until > now and ledger.unheard or 0
local part, alive = 0, #others
if request.sends then
  alive = alive + 1
  part = math.max(0, math.min(1 / alive, 1 - of_others - forgotten))
  redis.call('HSET', PARTS, request.member, text(math.max(part, request.part)))
  redis.call('HSET', KEPT, request.member, text(now + KEEPS))
else
  redis.call('HDEL', PARTS, request.member)
  redis.call('HDEL', KEPT, request.member)
end
local silent, kept_back = {}, 0
for _, name in ipairs(others) do
  if parts[name] > 0 and tonumber(is_there(name) or 0) <= now - SILENT then
    silent[#silent + 1] = name
    kept_back = kept_back + parts[name]
  end
end
kept_back = kept_back + forgotten
kept_back = kept_back > ROUNDING and ALONE * math.min(1, kept_back) or 0

local term = 0
if ledger.leader == request.member or ledger.leads_until <= now then
  if ledger.leader ~= request.member then
    ledger.leader, ledger.term = request.member, ledger.term + 1
  end
  ledger.leads_until = now + LEADS
  term = ledger.term
  if request.term == term then
    if ledger.timeline > now then -- what is given away is recipients, and moves with the pace
      ledger.timeline = now + (ledger.timeline - now) * ledger.rate / request.rate
    end
    ledger.rate, ledger.limit, ledger.estimate = request.rate, request.limit, request.estimate
    ledger.single = request.single and 1 or 0
    if request.epoch == ledger.epoch then
      ledger.hold = request.hold > 0 and now + request.hold or math.min(ledger.hold, now)
    end
  end
end

if request.cap > 0 then ledger.cap = request.cap end
if request.quota ~= '' then ledger.quota, ledger.quota_at, ledger.asking_until = request.quota, now, 0 end

if request.log ~= '' then
  redis.call('RPUSH', KEYS[2], request.log)
  redis.call('LTRIM', KEYS[2], -ENTRIES, -1)
end
local told = ''
if term > 0 then
  told = table.concat(redis.call('LRANGE', KEYS[2], 0, -1), '\n')
  redis.call('DEL', KEYS[2])
end

local bounded = most > 0 and most < ledger.rate
local slot = SECOND / ((bounded and most or ledger.rate) * (1 - kept_back))
local busy = not bounded and kept_back == 0 and math.max(ledger.timeline, ledger.hold + AHEAD) > now - BURST
ledger.timeline = math.max(ledger.timeline, now - BURST) + request.owed * slot
local slots, start = 0, now
if request.want > 0 and ledger.hold > now + AHEAD then
  start = now + AHEAD
elseif request.want > 0 then
  local span = math.min(math.max(LEASE, request.span), LATE)
  slots = ledger.single == 1 and 1 or math.max(1, math.min(request.want, math.ceil(span / slot - ROUNDING)))
  start = math.max(ledger.timeline, ledger.hold)
  local next_up = start
  if request.urgent and ledger.timeline < now + math.max(AHEAD, 2 * slot) then
    start = math.max(now, ledger.hold, math.min(ledger.timeline, ledger.urgent))
    ledger.urgent = start + slots * slot
  end
  ledger.timeline = next_up + slots * slot
  if ledger.single == 1 then ledger.epoch, ledger.hold = ledger.epoch + 1, now + SINGLE end
end

local ask_in = -1
if request.asks then
  local known_until = ledger.quota ~= '' and ledger.quota_at + FIGURES or 0
  if known_until > now then
    ask_in = (known_until - now) / SECOND
  elseif ledger.asking_until > now then
    ask_in = 1
  else
    ledger.asking_until, ask_in = now + ASKING, 0
  end
end

local fields = {'leader', ledger.leader, 'quota', ledger.quota}
for _, name in ipairs(numbers) do
  fields[#fields + 1] = name
  fields[#fields + 1] = text(ledger[name])
end
redis.call('HSET', KEYS[1], unpack(fields))
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end

local answer = {
  now = text(now), fresh = fresh, slots = slots, lead = start - now, slot = slot, busy = busy, rate = ledger.rate,
  limit = ledger.limit, estimate = ledger.estimate, cap = ledger.cap, epoch = ledger.epoch, term = term, part = part,
  alive = math.max(1, alive), silent = table.concat(silent, ' '), most = most,
  hungry = redis.call('ZCARD', HUNGRY_ONES), log = told, quota_at = text(ledger.quota_at), ask_in = ask_in,
  rests = table.concat(names, '\n'),
}
if ledger.quota_at > request.quota_at then answer.quota = ledger.quota end
return cjson.encode(answer)
