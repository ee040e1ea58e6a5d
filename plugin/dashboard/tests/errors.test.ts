import { describe, expect, it } from 'vitest'

import { CHARTS } from '../src/lib/charts'
import { errorRate } from '../src/lib/errors'
import { History, type Slot } from '../src/lib/history'
import { changeBetween } from '../src/lib/rates'
import { tilesOf, type Tile } from '../src/lib/tiles'
import { Watch } from '../src/lib/watch'
import { readingOf } from './readings'

const HTTP = { badRequests: 0, turnedAway: 0, failures: 0, working: 0, waiting: 0 }
const NONE = {
  num_failed_request: 0,
  num_poisoned_request: 0,
  num_busy_request: 0,
  num_expired_request: 0,
  num_refused_request: 0,
  num_garbage_message: 0,
}

/** One second, in which so much was counted. */
function second(statistic: Record<string, number>, http: Partial<typeof HTTP>): Slot {
  const history = new History()
  const [older, newer] = [readingOf(0, NONE), readingOf(1000, { ...NONE, ...statistic })]
  history.add(changeBetween({ ...older, http: HTTP }, { ...newer, http: { ...HTTP, ...http } })!, [])
  return history.last(15, 1000)!
}

function errorsTile(statistic: Record<string, number>, http: Partial<typeof HTTP>): Tile {
  const watch = new Watch()
  const [older, newer] = [readingOf(0, NONE), readingOf(1000, { ...NONE, ...statistic })]
  watch.take({ kind: 'reading', reading: { ...older, http: HTTP } }, 0)
  watch.take({ kind: 'reading', reading: { ...newer, http: { ...HTTP, ...http } } }, 1000)
  return tilesOf(watch, 1000).find(({ name }) => name === 'Errors')!
}

describe('errors', () => {
  it('that the server and its proxy both count are counted once', () => {
    const slot = second({ num_failed_request: 2, num_busy_request: 3 }, { failures: 2, turnedAway: 5, badRequests: 4 })
    expect(errorRate(slot, 'failed')).toBe(2)
    expect(errorRate(slot, 'overload')).toBe(5)
    expect(errorRate(slot, 'invalid')).toBe(4)
  })

  it('are those of the server where the proxy does not tell', () => {
    const slot = second({ num_poisoned_request: 1, num_failed_request: 2 }, {})
    slot.sums.httpFailures = null
    expect(errorRate(slot, 'failed')).toBe(3)
    slot.sums.failed = null
    expect(errorRate(slot, 'failed')).toBeNull()
  })

  it('of callers are shown, and are no alarm', () => {
    expect(errorsTile({}, { badRequests: 4 })).toMatchObject({
      value: '4.00',
      detail: 'invalid requests only',
      isAlarm: false,
    })
    expect(errorsTile({}, {})).toMatchObject({ value: '0', detail: 'none', isAlarm: false })
  })

  it('of the server are an alarm, whose number is the sum and never zero', () => {
    expect(errorsTile({ num_failed_request: 2 }, { failures: 2, badRequests: 1 })).toMatchObject({
      value: '3.00',
      detail: '2.00 /s failed',
      isAlarm: true,
    })
    expect(errorsTile({}, { turnedAway: 5 })).toMatchObject({
      value: '5.00',
      detail: '5.00 /s for overload',
      isAlarm: true,
    })
  })
})

describe('the lines of a chart', () => {
  it.each(CHARTS.map((chart) => [chart.title, chart] as const))('%s have a color each', (_title, chart) => {
    const colors = chart.lines.map((line) => line.color)
    expect(new Set(colors).size).toBe(colors.length)
  })
})
