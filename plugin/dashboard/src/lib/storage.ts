// Data that outlive a reload. Histories are kept for each server, in localStorage; keys in sessionStorage, for the server that they
// were given for and no other. Storage that is full, forbidden or full of nonsense is done without.

import { COARSE, FINE, type History, type Slot, type TierShape } from './history'
import type { Sparse } from './histogram'
import { latest, type Event } from './events'
import { PEAKS, SUMS } from './rates'
import { isObject } from './json'
import { TIMES } from './status'

export type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>

const PREFIX = 'bert-dashboard'
const VERSION = 1
const HISTORY = `${PREFIX}:history:`
const KEY = `${PREFIX}:key:`
const MAX_SERVERS = 4
const FUTURE_MS = 60_000

/** A store that is asked in vain where the browser allows none: then nothing is kept. */
export function open(find: () => Store): Store {
  try {
    const store = find()
    store.getItem(PREFIX)
    return store
  } catch {
    return { getItem: () => null, setItem: () => {}, removeItem: () => {}, key: () => null, length: 0 }
  }
}

// Keys and choices -----------------------------------------------------------------------------------------------------

export function loadKey(store: Store, server: string): string {
  return read(store, KEY + server) ?? ''
}

export function saveKey(store: Store, server: string, key: string): void {
  if (key) write(store, KEY + server, key)
  else store.removeItem(KEY + server)
}

export function loadChoice<Choice extends string>(store: Store, name: string, choices: readonly Choice[]): Choice {
  const found = read(store, `${PREFIX}:${name}`)
  return choices.find((choice) => choice === found) ?? choices[0]!
}

export function saveChoice(store: Store, name: string, choice: string): void {
  write(store, `${PREFIX}:${name}`, choice)
}

// Histories ------------------------------------------------------------------------------------------------------------

/** Whether it could be written. Those of the servers that were watched longest ago go first. */
export function saveHistory(
  store: Store,
  server: string,
  history: History,
  events: readonly Event[],
  now: number,
): boolean {
  const text = JSON.stringify({
    version: VERSION,
    savedAt: now,
    bounds: history.bounds,
    hour: history.tiers.hour.map(pack),
    halfDay: history.tiers.halfDay.map(pack),
    events,
  })
  const others = serversByAge(store).filter((name) => name !== HISTORY + server)
  while (others.length >= MAX_SERVERS) store.removeItem(others.shift()!)
  while (!write(store, HISTORY + server, text)) {
    const oldest = others.shift()
    if (oldest === undefined) return false
    store.removeItem(oldest)
  }
  return true
}

/** Fill `history` with what was kept of a server, and return the events; what is not fit is left out. */
export function loadHistory(store: Store, server: string, history: History, now: number): Event[] {
  const kept = parse(read(store, HISTORY + server))
  if (kept === null) return []
  if (Array.isArray(kept.bounds) && kept.bounds.every((bound) => bound === null || typeof bound === 'number')) {
    history.bounds = kept.bounds as (number | null)[]
  }
  const number = history.bounds.length
  history.tiers.hour = unpackAll(kept.hour, FINE, number, now)
  history.tiers.halfDay = unpackAll(kept.halfDay, COARSE, number, now)
  return Array.isArray(kept.events) ? latest(kept.events.filter(isEvent)) : []
}

function serversByAge(store: Store): string[] {
  const names = Array.from({ length: store.length }, (_, place) => store.key(place)).filter(
    (name): name is string => name !== null && name.startsWith(HISTORY),
  )
  const savedAt = (name: string): number =>
    Number(/"savedAt":(\d+)/.exec(read(store, name)?.slice(0, 100) ?? '')?.[1] ?? 0)
  return names
    .map((name) => [savedAt(name), name] as const)
    .sort((one, other) => one[0] - other[0])
    .map(([, name]) => name)
}

function parse(text: string | null): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text ?? 'null')
    return isObject(value) && value.version === VERSION ? value : null
  } catch {
    return null
  }
}

function isEvent(value: unknown): value is Event {
  return (
    isObject(value) &&
    Number.isFinite(value.at) &&
    typeof value.text === 'string' &&
    ['good', 'news', 'bad'].includes(String(value.level))
  )
}

// A slot as a list of numbers, which is a third of its size as an object.

type Packed = [number, number, number, (number | null)[], (number | null)[], (number[] | null)[]]

function pack(slot: Slot): Packed {
  return [
    slot.from,
    slot.to,
    slot.seconds,
    SUMS.map((name) => slot.sums[name]),
    PEAKS.map((name) => slot.peaks[name]),
    TIMES.map((name) => packSparse(slot.times[name])),
  ]
}

function packSparse(counts: Sparse | null): number[] | null {
  return counts && Object.entries(counts).flatMap(([place, count]) => [Number(place), count])
}

function unpackAll(value: unknown, { keptMs }: TierShape, numBuckets: number, now: number): Slot[] {
  if (!Array.isArray(value)) return []
  const slots: Slot[] = []
  for (const packed of value) {
    const slot = unpack(packed, numBuckets)
    if (slot === null || slot.to < now - keptMs || slot.to > now + FUTURE_MS) continue
    if (slot.from < (slots.at(-1)?.to ?? 0)) continue
    slots.push(slot)
  }
  return slots
}

function unpack(value: unknown, numBuckets: number): Slot | null {
  if (!Array.isArray(value) || value.length !== 6) return null
  const [from, to, seconds, sums, peaks, times] = value as unknown[]
  if (!isCount(from) || !isCount(to) || !isCount(seconds) || !(from < to) || seconds <= 0) return null
  if (!isRow(sums, SUMS.length, isCountOrNull) || !isRow(peaks, PEAKS.length, isCountOrNull)) return null
  if (!isRow(times, TIMES.length, (row) => row === null || isSparse(row, numBuckets))) return null
  return {
    from,
    to,
    seconds,
    sums: named(SUMS, sums as (number | null)[]),
    peaks: named(PEAKS, peaks as (number | null)[]),
    times: named(TIMES, (times as (number[] | null)[]).map(unpackSparse)),
  }
}

function unpackSparse(row: number[] | null): Sparse | null {
  if (row === null) return null
  const counts: Sparse = {}
  for (let place = 0; place < row.length; place += 2) counts[row[place]!] = row[place + 1]!
  return counts
}

function named<Name extends string, Value>(names: readonly Name[], values: readonly Value[]): Record<Name, Value> {
  return Object.fromEntries(names.map((name, place) => [name, values[place]])) as Record<Name, Value>
}

function isRow(value: unknown, length: number, isFit: (value: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length === length && value.every(isFit)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isCountOrNull(value: unknown): boolean {
  return value === null || isCount(value)
}

function isSparse(value: unknown, numBuckets: number): boolean {
  return (
    Array.isArray(value) &&
    value.length % 2 === 0 &&
    value.every(
      (number, place) => isCount(number) && (place % 2 === 1 || (Number.isInteger(number) && number < numBuckets)),
    )
  )
}

function read(store: Store, name: string): string | null {
  try {
    return store.getItem(name)
  } catch {
    return null
  }
}

function write(store: Store, name: string, text: string): boolean {
  try {
    store.setItem(name, text)
    return true
  } catch {
    return false
  }
}
