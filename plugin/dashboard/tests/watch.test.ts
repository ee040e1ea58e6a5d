import { describe, expect, it } from 'vitest'

import type { Outcome } from '../src/lib/ask'
import { CHARTS, latestOf, valuesOf } from '../src/lib/charts'
import { tilesOf } from '../src/lib/tiles'
import { Watch } from '../src/lib/watch'
import { buckets, readingOf } from './readings'

const AWAY: Outcome = { kind: 'unreachable', reason: 'no connection' }
const LOCKED: Outcome = { kind: 'locked', keyWasSent: true }

function reading(at: number, statistic: Record<string, unknown> = {}, more: Record<string, unknown> = {}): Outcome {
  return { kind: 'reading', reading: readingOf(at, statistic, more) }
}

describe('a watch', () => {
  it('has rates from the second reading on', () => {
    const watch = new Watch()
    watch.take(reading(1000), 1000)
    expect(tilesOf(watch, 1000)[0]).toMatchObject({ name: 'Requests', value: '–', unit: '' })
    watch.take(reading(3000, { num_data_request: 150 }), 3000)
    expect(tilesOf(watch, 3000)[0]).toMatchObject({ name: 'Requests', value: '25.0', unit: '/s' })
  })

  it('says since when the server is away, keeps what it knew, and has a gap for that time', () => {
    const watch = new Watch()
    watch.take(reading(1000), 1000)
    watch.take(reading(3000), 3000)
    watch.take(AWAY, 5000)
    watch.take(AWAY, 9000)
    expect([watch.awaySince, watch.reading?.at]).toEqual([5000, 3000])
    watch.take(reading(11_000), 11_000)
    watch.take(reading(13_000), 13_000)
    expect(watch.awaySince).toBeNull()
    expect(watch.history.points('hour', 13_000).slots.map((slot) => slot?.to ?? null)).toEqual([3000, null, 13_000])
    expect(watch.events.map((event) => event.text)).toEqual([
      'the server is reachable again',
      'the server is unreachable',
    ])
  })

  it('is away from the beginning if the server is', () => {
    const watch = new Watch()
    watch.take(AWAY, 5000)
    expect([watch.awaySince, watch.reading, watch.events]).toEqual([5000, null, []])
  })

  it('says that the server is reachable again only after it said that it was not, with a key asked for in between', () => {
    const [gone, back] = ['the server is unreachable', 'the server is reachable again']
    const cases: [Outcome[], string[], number | null][] = [
      [[reading(1000), LOCKED, reading(5000)], [], null],
      [[reading(1000), LOCKED, AWAY], [gone], 5000],
      [[reading(1000), LOCKED, AWAY, LOCKED], [back, gone], null],
      [[reading(1000), LOCKED, AWAY, LOCKED, reading(9000)], [back, gone], null],
      [[reading(1000), AWAY, LOCKED, AWAY], [gone, back, gone], 7000],
      [[reading(1000), AWAY, { kind: 'hidden' }, reading(7000)], [back, gone], null],
      [[LOCKED, AWAY, reading(5000)], [back, gone], null],
      [[AWAY, LOCKED, reading(5000)], [], null],
      [[AWAY, reading(3000), AWAY], [gone], 5000],
    ]
    for (const [outcomes, events, awaySince] of cases) {
      const watch = new Watch()
      outcomes.forEach((outcome, n) => watch.take(outcome, 1000 + 2000 * n))
      expect(watch.events.map((event) => event.text)).toEqual(events)
      expect(watch.awaySince).toBe(awaySince)
    }
  })

  it('has a gap for the time in which a key was asked for', () => {
    const watch = new Watch()
    ;[reading(1000), reading(3000), LOCKED, reading(7000), reading(9000)].forEach((outcome, n) =>
      watch.take(outcome, 1000 + 2000 * n),
    )
    expect(watch.history.points('hour', 9000).slots.map((slot) => slot?.to ?? null)).toEqual([3000, null, 9000])
  })

  it('tells of what happened while it could not see', () => {
    const watch = new Watch()
    watch.take(reading(1000, { num_sink_restart: 0 }), 1000)
    watch.take(AWAY, 3000)
    watch.take(reading(5000, { num_sink_restart: 1 }), 5000)
    expect(watch.events.map((event) => event.text)).toContain('the sink died and was restarted')
    watch.take(AWAY, 7000)
    watch.take(reading(9000, {}, { server_start_time: '2026-11-25 11:00:00' }), 9000)
    expect(watch.events[0]!.text).toMatch('restarted')
    expect(watch.history.tiers.hour).toEqual([])
  })
})

describe('what is shown', () => {
  it('is made of the history for every chart', () => {
    const watch = new Watch()
    watch.take(reading(1000, { num_failed_request: 1, num_poisoned_request: 0 }), 1000)
    const more = {
      num_data_request: 120,
      num_rows_done: 1000,
      num_tokens_done: 8750,
      num_computed_tokens: 11_000,
      num_failed_request: 5,
      num_poisoned_request: 2,
      total_time: { buckets: buckets(1, 14, 5, 0) },
    }
    watch.take(reading(3000, more), 3000)
    const points = watch.history.points('hour', 3000)
    const shown = Object.fromEntries(
      CHARTS.flatMap((chart) =>
        valuesOf(chart, points, watch.history).map((values, n) => [`${chart.id} ${chart.lines[n]!.label}`, values[0]]),
      ),
    )
    expect(shown).toMatchObject({
      'requests received': 10,
      'rows answered': 50,
      'tokens of texts': 375,
      'tokens with padding': 500,
      'padding padding': 0.25,
      'errors failed': 3,
      'errors invalid': null,
      'queue waiting': 7,
      'clients active': 3,
      'stages queue p50': null,
    })
    expect(shown['latency p50']).toBeCloseTo(0.0055, 10)
    const latest = Object.fromEntries(
      CHARTS.map((chart) => [chart.id, latestOf(chart, watch.history, watch.reading, 3000)]),
    )
    expect(latest).toMatchObject({ requests: [10, 0], rows: [null, 50, null], queue: [7, null], clients: [3] })
    const tiles = Object.fromEntries(tilesOf(watch, 3000).map((tile) => [tile.name, tile]))
    expect(tiles.Requests!.value).toBe(CHARTS[0]!.format(latest.requests![0]!))
    expect(tiles['Latency p50']!.value).toBe(CHARTS[3]!.format(latest.latency![0]!))
  })

  it('never takes for zero what a server of release 1.10 does not tell', () => {
    const watch = new Watch()
    const bare = (at: number, rows: number): Outcome => ({
      kind: 'reading',
      reading: {
        ...readingOf(at),
        counters: { num_data_request: 1, num_total_seq: rows },
        gauges: {},
        times: {},
        workers: null,
        state: null,
      },
    })
    watch.take(bare(1000, 10), 1000)
    watch.take(bare(2000, 30), 2000)
    const tiles = Object.fromEntries(tilesOf(watch, 2000).map((tile) => [tile.name, tile]))
    expect(tiles.Rows).toMatchObject({ value: '20.0', detail: 'received' })
    for (const name of ['Tokens', 'Errors', 'Queue', 'Latency p50', 'Padding']) expect(tiles[name]!.value).toBe('–')
  })
})
