import { describe, expect, it } from 'vitest'

import { COARSE, FINE, History, paddingOf, quantileOf, rateOf } from '../src/lib/history'
import { changeBetween, type Change } from '../src/lib/rates'
import { BOUNDS, buckets, readingOf } from './readings'

/** `requests` between two times. */
function change(from: number, to: number, requests: number, statistic: Record<string, unknown> = {}): Change {
  const made = changeBetween(readingOf(from), readingOf(to, { num_data_request: 100 + requests, ...statistic }))!
  expect(made).not.toBeNull()
  return made
}

function polled(history: History, from: number, to: number, everyMs = 2000, requests = 10): void {
  for (let at = from; at < to; at += everyMs) history.add(change(at, at + everyMs, requests), BOUNDS)
}

describe('a history', () => {
  it('has rates by the time that really passed', () => {
    const history = new History()
    history.add(change(0, 1700, 17), BOUNDS)
    history.add(change(1700, 4900, 32), BOUNDS)
    expect(history.tiers.hour).toHaveLength(1)
    expect(rateOf(history.tiers.hour[0]!, 'requests')).toBeCloseTo(10, 10)
  })

  it('is bounded, and both tiers count the same', () => {
    const history = new History()
    polled(history, 0, 13 * 3_600_000)
    const now = 13 * 3_600_000
    const [hour, halfDay] = [history.points('hour', now), history.points('halfDay', now)]
    expect(history.tiers.hour.length).toBeLessThanOrEqual(FINE.keptMs / FINE.slotMs + 1)
    expect(history.tiers.halfDay.length).toBeLessThanOrEqual(COARSE.keptMs / COARSE.slotMs + 1)
    for (const slot of [...hour.slots, ...halfDay.slots]) expect(rateOf(slot, 'requests')).toBeCloseTo(5, 10)
    expect(hour.x.at(-1)).toBe(now / 1000)
    expect(halfDay.x[0]).toBeGreaterThanOrEqual(3600)
  })

  it('is bounded when every other poll fails, too', () => {
    const history = new History()
    for (let at = 0; at < 3_600_000; at += 2000) history.add(change(at, at + 1000, 1), BOUNDS)
    expect(history.tiers.hour.length).toBeLessThanOrEqual((2 * FINE.keptMs) / FINE.slotMs)
    expect(history.tiers.halfDay.length).toBeLessThanOrEqual((2 * COARSE.keptMs) / COARSE.slotMs)
  })

  it('has a gap where time is missing, and no line across it', () => {
    const history = new History()
    polled(history, 0, 20_000)
    polled(history, 60_000, 80_000)
    const { x, slots } = history.points('hour', 80_000)
    const gap = slots.indexOf(null)
    expect(x[gap]).toBe(40)
    expect(slots.filter((slot) => slot === null)).toHaveLength(1)
    expect(x).toEqual([...x].sort((one, other) => one - other))
  })

  it('has no gap in a tab that is asked for once a minute', () => {
    const history = new History()
    polled(history, 0, 600_000, 60_000)
    expect(history.points('hour', 600_000).slots).not.toContain(null)
  })

  it('keeps the greatest of what there was, and does not know what it was not told once', () => {
    const history = new History()
    history.add(change(0, 1000, 1, { queue_rows: 90 }), BOUNDS)
    history.add(change(1000, 2000, 1, { queue_rows: 3 }), BOUNDS)
    expect(history.tiers.hour[0]!.peaks.queueRows).toBe(90)
    history.add({ ...change(2000, 3000, 1), sums: { ...change(2000, 3000, 1).sums, tokens: null } }, BOUNDS)
    expect(rateOf(history.tiers.hour[0]!, 'tokens')).toBeNull()
    expect(rateOf(history.tiers.hour[0]!, 'requests')).toBe(1)
  })

  it('has percentiles of a slot from the durations of its polls together', () => {
    const history = new History()
    history.add(change(0, 1000, 1, { total_time: { buckets: buckets(10, 4, 5, 0) } }), BOUNDS) // 9 in the first bucket
    history.add(change(1000, 2000, 1, { total_time: { buckets: buckets(1, 4, 6, 0) } }), BOUNDS) // 1 in the third
    const slot = history.tiers.hour[0]!
    expect(quantileOf(slot, 'total_time', 0.9, BOUNDS)).toBeCloseTo(0.001, 10)
    expect(quantileOf(slot, 'total_time', 0.95, BOUNDS)).toBeCloseTo(0.055, 10)
    expect(quantileOf(slot, 'queue_time', 0.5, BOUNDS)).toBeNull()
  })

  it('forgets durations that were counted in other buckets', () => {
    const history = new History()
    history.add(change(0, 1000, 1), BOUNDS)
    history.add(change(1000, 10_000, 1), [1, null])
    expect(history.tiers.hour[0]!.times.total_time).toBeNull()
    expect(rateOf(history.tiers.hour[0]!, 'requests')).toBe(1)
  })

  it('lets go of what is yet to come when the clock was set back', () => {
    const history = new History()
    polled(history, 0, 20_000)
    history.add(change(8000, 10_000, 1), BOUNDS)
    expect(history.tiers.hour.map((slot) => slot.to)).toEqual([4000, 10_000])
  })

  it('sums up the last seconds', () => {
    const history = new History()
    polled(history, 0, 30_000)
    polled(history, 30_000, 60_000, 2000, 40)
    expect(rateOf(history.last(15, 60_000), 'requests')).toBeCloseTo(20, 10)
    expect(history.last(15, 90_000)).toBeNull()
  })

  it('shows as much as is known: a twelfth of the range at first, all of it at last', () => {
    const history = new History()
    const day = 86_400_000
    expect(history.window('hour', day)).toEqual([(day - 300_000) / 1000, day / 1000])
    polled(history, day - 1_200_000, day)
    expect(history.window('hour', day)[0]).toBeCloseTo((day - 1_200_000) / 1000, 0)
    expect(history.window('halfDay', day)[0]).toBeCloseTo((day - 3_600_000) / 1000, 0)
    expect(history.window('hour', day + 3_000_000)[0]).toBe((day + 3_000_000 - 3_600_000) / 1000)
  })

  it('has a share of padding where something was computed', () => {
    const history = new History()
    history.add(change(0, 1000, 1, { num_tokens_done: 8030, num_computed_tokens: 10040 }), BOUNDS)
    expect(paddingOf(history.tiers.hour[0]!)).toBeCloseTo(0.25, 10)
    const idle = new History()
    idle.add(change(0, 1000, 0), BOUNDS)
    expect(paddingOf(idle.tiers.hour[0]!)).toBeNull()
  })
})
