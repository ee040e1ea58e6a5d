// The history of a server, in bounded memory: an hour in slots of five seconds, twelve hours in slots of a minute.

import { add, quantile, sameBounds, type Sparse } from './histogram'
import { PEAKS, SUMS, type Change, type Peak, type Sum } from './rates'
import { TIMES, type Time } from './status'

/** Some seconds: what was counted in them, the greatest of what there was, and how long things took. */
export interface Slot {
  from: number
  to: number
  /** How much of the time between is known. */
  seconds: number
  sums: Record<Sum, number | null>
  peaks: Record<Peak, number | null>
  times: Record<Time, Sparse | null>
}

export interface TierShape {
  slotMs: number
  keptMs: number
}

export const FINE: TierShape = { slotMs: 5_000, keptMs: 3_600_000 }
export const COARSE: TierShape = { slotMs: 60_000, keptMs: 12 * 3_600_000 }

export type Range = 'hour' | 'halfDay'

/** The points of a line: seconds since 1970 and, for each, the slot it stands for; null is a gap. */
export interface Points {
  x: number[]
  slots: (Slot | null)[]
}

export class History {
  readonly tiers: Record<Range, Slot[]> = { hour: [], halfDay: [] }
  /** Of the buckets of durations; they are the same for as long as the server's release is. */
  bounds: (number | null)[] = []

  /** Take in what came between two readings, `bounds` being those of its durations. */
  add(change: Change, bounds: readonly (number | null)[]): void {
    if (bounds.length && !sameBounds(bounds, this.bounds)) this.forgetTimes(bounds)
    put(this.tiers.hour, FINE, change)
    put(this.tiers.halfDay, COARSE, change)
  }

  /** Take in `changes` of a time that may have been seen in parts already: what was seen stays as it is. */
  fill(changes: readonly Change[], bounds: readonly (number | null)[]): void {
    if (!changes.length) return
    if (bounds.length && !sameBounds(bounds, this.bounds)) this.forgetTimes(bounds)
    for (const range of ['hour', 'halfDay'] as const) {
      const seen = this.tiers[range]
      const all = [...seen, ...changes.flatMap((change) => outside(change, seen))]
      const slots: Slot[] = []
      for (const each of all.sort((one, other) => one.from - other.from)) put(slots, shapeOf(range), each)
      this.tiers[range] = slots
    }
  }

  /** Whether all of the time between was seen. */
  hasSeen(from: number, to: number): boolean {
    return !outsides(from, to, this.tiers.hour).length
  }

  private forgetTimes(bounds: readonly (number | null)[]): void {
    this.bounds = [...bounds]
    for (const slot of [...this.tiers.hour, ...this.tiers.halfDay]) slot.times = noTimes()
  }

  /** All of the last so many seconds as one slot; null if nothing is known of them. */
  last(seconds: number, now: number): Slot | null {
    let sum: Slot | null = null
    for (let place = this.tiers.hour.length - 1; place >= 0; place--) {
      const slot = this.tiers.hour[place]!
      if (slot.to <= now - 1000 * seconds) break
      sum = sum === null ? slot : merge(slot, sum)
    }
    return sum
  }

  /** The slots of a range, with a gap wherever time is missing between two. */
  points(range: Range, now: number): Points {
    const points: Points = { x: [], slots: [] }
    const since = now - shapeOf(range).keptMs
    let end: number | null = null
    for (const slot of this.tiers[range]) {
      if (slot.to < since) continue
      if (end !== null && slot.from > end) {
        points.x.push((end + slot.from) / 2000)
        points.slots.push(null)
      }
      points.x.push(slot.to / 1000)
      points.slots.push(slot)
      end = slot.to
    }
    return points
  }

  /** From when until when a chart goes, in seconds: as much as is known, at least a twelfth, at most all of the range. */
  window(range: Range, now: number): [number, number] {
    const { keptMs } = shapeOf(range)
    const first = this.tiers[range].find((slot) => slot.to >= now - keptMs)?.from ?? now
    return [Math.max(now - keptMs, Math.min(first, now - keptMs / 12)) / 1000, now / 1000]
  }
}

/** The parts of a change that lie outside of all slots, as if it had come evenly. */
function outside(change: Change, slots: readonly Slot[]): Change[] {
  return outsides(change.from, change.to, slots).map(([from, to]) => partOf(change, from, to))
}

function outsides(from: number, to: number, slots: readonly Slot[]): [number, number][] {
  const parts: [number, number][] = []
  for (const slot of slots) {
    if (slot.to <= from) continue
    if (slot.from >= to) break
    if (slot.from > from) parts.push([from, slot.from])
    from = slot.to
  }
  if (from < to) parts.push([from, to])
  return parts
}

function partOf(change: Change, from: number, to: number): Change {
  const share = (to - from) / (change.to - change.from)
  if (share === 1) return change
  return {
    from,
    to,
    sums: record(SUMS, (name) => times(change.sums[name], share)),
    peaks: change.peaks,
    times: record(TIMES, (name) => {
      const counts = change.times[name]
      return counts && Object.fromEntries(Object.entries(counts).map(([place, count]) => [place, count * share]))
    }),
  }
}

function times(count: number | null, share: number): number | null {
  return count === null ? null : count * share
}

export function shapeOf(range: Range): TierShape {
  return range === 'hour' ? FINE : COARSE
}

function put(slots: Slot[], shape: TierShape, change: Change): void {
  while (slots.length && slots.at(-1)!.to > change.from) slots.pop() // the clock was set back: they are yet to come
  const latest = slots.at(-1)
  const slot: Slot = { ...change, seconds: (change.to - change.from) / 1000 }
  if (latest !== undefined && isWithin(latest, change, shape)) slots[slots.length - 1] = merge(latest, slot)
  else slots.push(slot)
  trim(slots, shape, change.to)
}

/** Let go of what is older than a tier goes back, and of what is too many, should there have been many gaps. */
function trim(slots: Slot[], { slotMs, keptMs }: TierShape, now: number): void {
  const mostSlots = (2 * keptMs) / slotMs
  const kept = slots.findIndex((slot) => slot.to >= now - keptMs)
  slots.splice(0, Math.max(kept, slots.length - mostSlots))
}

function isWithin(slot: Slot, change: Change, { slotMs }: TierShape): boolean {
  // A gap stays a gap, however short: `from` has to be where the slot ends.
  return change.from === slot.to && Math.floor((change.to - 1) / slotMs) === Math.floor((slot.to - 1) / slotMs)
}

/** Two slots as one; what is not known of one of them is not known of both. */
export function merge(older: Slot, newer: Slot): Slot {
  return {
    from: older.from,
    to: newer.to,
    seconds: older.seconds + newer.seconds,
    sums: record(SUMS, (name) => both(older.sums[name], newer.sums[name], (one, other) => one + other)),
    peaks: record(PEAKS, (name) => both(older.peaks[name], newer.peaks[name], Math.max)),
    times: record(TIMES, (name) => both(older.times[name], newer.times[name], add)),
  }
}

function record<Name extends string, Value>(names: readonly Name[], make: (name: Name) => Value): Record<Name, Value> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Value>
}

function both<Value>(
  one: Value | null,
  other: Value | null,
  together: (one: Value, other: Value) => Value,
): Value | null {
  return one === null || other === null ? null : together(one, other)
}

function noTimes(): Record<Time, Sparse | null> {
  return record(TIMES, () => null)
}

/** How many a second; null: not known. */
export function rateOf(slot: Slot | null, ...names: Sum[]): number | null {
  if (slot === null || slot.seconds <= 0) return null
  let sum = 0
  for (const name of names) {
    const count = slot.sums[name]
    if (count === null) return null
    sum += count
  }
  return sum / slot.seconds
}

/** A percentile of durations, in seconds; null: there were none, or it is not known. */
export function quantileOf(
  slot: Slot | null,
  name: Time,
  share: number,
  bounds: readonly (number | null)[],
): number | null {
  const counts = slot?.times[name] ?? null
  return counts === null ? null : quantile(bounds, counts, share)
}

/** The share of the computed tokens that was padding; null: nothing was computed, or it is not known. */
export function paddingOf(slot: Slot | null): number | null {
  const tokens = slot?.sums.tokens ?? null
  const computed = slot?.sums.computedTokens ?? null
  return tokens === null || computed === null || computed <= 0 ? null : Math.max(0, 1 - tokens / computed)
}
