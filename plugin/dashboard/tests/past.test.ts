import { describe, expect, it } from 'vitest'

import { askPast, type Fetch } from '../src/lib/ask'
import { rateOf } from '../src/lib/history'
import { readPast } from '../src/lib/past'
import { Watch } from '../src/lib/watch'
import { readingOf } from './readings'

const NOW = 1_800_000_000_000
const STARTED = '2026-11-25 10:00:00.000000'

/** The table of /status/history with samples so many seconds before `NOW`, and these numbers of requests. */
function table(ages: number[], requests: number[], more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    now: NOW / 1000,
    every_s: 10,
    time: ages.map((age) => NOW / 1000 - age),
    server_start_time: ages.map(() => STARTED),
    statistic: { num_data_request: requests, queue_rows: requests.map(() => 2) },
    http: { invalid: requests, turned_away: requests, failed: requests, waiting: requests },
    durations: { total_time: { bounds_s: [0.1, null], counts: requests.map((number) => [number, number]) } },
    status: 200,
    ...more,
  }
}

describe('the hour before', () => {
  it('is read as readings by the clock of this machine', () => {
    const { readings, gapMs } = readPast(table([20, 10], [5, 9]), NOW + 7000)!
    expect(gapMs).toBe(30_000)
    expect(readings.map(({ at }) => at)).toEqual([NOW + 7000 - 20_000, NOW + 7000 - 10_000])
    expect(readings[1]).toMatchObject({
      startedAt: STARTED,
      counters: { num_data_request: 9 },
      gauges: { queue_rows: 2 },
      times: { total_time: { bounds: [0.1, null], counts: [9, 0] } },
      http: { badRequests: 9, turnedAway: 9, failures: 9, waiting: 9 },
      workers: null,
    })
    expect(readings[1]!.counters.num_rows_done).toBeUndefined()
  })

  it.each([null, [], {}, { status: 200 }, table([1], [1], { time: 3 }), table([1], [1], { every_s: 0 })])(
    'is not %j',
    (body) => {
      expect(readPast(body, NOW)).toBeNull()
    },
  )

  it('with nonsense in it is read without that', () => {
    const durations = { total_time: { bounds_s: [0.1, null], counts: [[1], 'x', [2, 1]] } }
    const { readings } = readPast(table([20, 10, -5], [1, 2, 3], { http: 3, durations }), NOW)!
    expect(readings).toHaveLength(2)
    expect(readings.map(({ times }) => times)).toEqual([{}, {}])
  })

  it('is asked for with the key, and done without where the proxy keeps nothing', async () => {
    const asked: [string, unknown][] = []
    const answering =
      (response: () => Response): Fetch =>
      async (url, init) => {
        asked.push([url, init.headers])
        return response()
      }
    const question = { server: 'http://a', key: 'sk', isOtherOrigin: false }
    const ask = (response: () => Response) =>
      askPast(question, answering(response), new AbortController().signal, () => NOW)
    expect((await ask(() => new Response(JSON.stringify(table([10], [1])))))?.readings).toHaveLength(1)
    expect(asked).toEqual([['http://a/status/history', { authorization: 'Bearer sk' }]])
    expect(await ask(() => new Response('{}', { status: 404 }))).toBeNull()
    expect(await ask(() => new Response('<html>'))).toBeNull()
    const fails = (): Response => {
      throw new TypeError('cut')
    }
    expect(await ask(fails)).toBeNull()
  })
})

describe('a watch', () => {
  function watching(...times: number[]): Watch {
    const watch = new Watch()
    for (const [place, at] of times.entries())
      watch.take({ kind: 'reading', reading: readingOf(at, { num_data_request: 200 + 10 * place }) }, at)
    return watch
  }

  it('has what the server kept from before the page was opened, up to what the page saw itself', () => {
    const watch = watching(NOW, NOW + 2000)
    expect(watch.lacksPast).toBe(false)
    watch.fill(readPast(table([30, 20, 10], [50, 100, 150]), NOW)!)
    const { slots, x } = watch.history.points('hour', NOW + 2000)
    expect(slots).not.toContain(null)
    expect(x.at(-1)).toBe((NOW + 2000) / 1000)
    expect(slots.map((slot) => rateOf(slot, 'requests'))).toEqual([5, 5, 5, 5])
    expect(watch.history.window('hour', NOW)[0]).toBe(NOW / 1000 - 300)
  })

  it('keeps what it saw itself, and fills only where it saw nothing', () => {
    const watch = watching(NOW - 25_000, NOW - 15_000)
    watch.take({ kind: 'unreachable', reason: 'no connection' }, NOW - 10_000)
    watch.take({ kind: 'reading', reading: readingOf(NOW, { num_data_request: 300 }) }, NOW)
    expect(watch.lacksPast).toBe(true)
    watch.fill(readPast(table([30, 20, 10], [0, 100, 200]), NOW)!)
    const { slots } = watch.history.points('hour', NOW)
    expect(slots).not.toContain(null)
    expect(slots.map((slot) => [NOW - slot!.from, NOW - slot!.to, rateOf(slot, 'requests')])).toEqual([
      [30_000, 25_000, 10],
      [25_000, 15_000, 1],
      [15_000, 10_000, 10],
      [10_000, 0, 10],
    ])
  })

  it('has a gap where the server did not answer, and tells what happened before it was opened', () => {
    const watch = watching(NOW)
    const statistic = {
      num_data_request: [1, 2, 3, 4],
      num_worker_restart: [0, 2, 0, 0],
      num_sink_restart: [0, 0, 0, 0],
    }
    const started = [STARTED, STARTED, '2026-11-25 11:00:00', STARTED]
    watch.fill(readPast(table([300, 290, 20, 10], [], { statistic, server_start_time: started }), NOW)!)
    expect(watch.history.points('hour', NOW).slots).toContain(null)
    const texts = watch.events.map(({ text }) => text)
    expect(texts).toContain('a worker died and was restarted, 2 times')
    expect(texts.filter((text) => text.startsWith('the server was restarted'))).toHaveLength(2)
    const told = watch.events.length
    watch.fill(readPast(table([300, 290, 20, 10], [], { statistic, server_start_time: started }), NOW)!)
    expect(watch.events).toHaveLength(told)
  })

  it('does without it while nothing has been heard of the server', () => {
    const watch = new Watch()
    watch.fill(readPast(table([20, 10], [1, 2]), NOW)!)
    expect(watch.history.tiers.hour).toEqual([])
  })
})
