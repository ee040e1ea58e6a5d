import { describe, expect, it } from 'vitest'

import { changeBetween, MAX_PAUSE_MS, wasStartedAgain } from '../src/lib/rates'
import { buckets, readingOf } from './readings'

const HTTP = { badRequests: 1, turnedAway: 2, failures: 3, working: 0, waiting: 5 }

describe('what came between two readings', () => {
  it('is the difference of the counters, the later gauges and the durations between', () => {
    const older = readingOf(1000)
    const newer = readingOf(3500, {
      num_data_request: 110,
      num_rows_done: 950,
      num_failed_request: 3,
      queue_rows: 40,
      total_time: { buckets: buckets(1, 6, 5, 1) },
    })
    const change = changeBetween(older, newer)!
    expect(change).toMatchObject({ from: 1000, to: 3500, peaks: { queueRows: 40, clients: 3 } })
    expect(change.sums).toMatchObject({ requests: 10, rows: 50, failed: 2, published: 0 })
    expect(change.times.total_time).toEqual({ 1: 2, 3: 1 })
  })

  it('is not known where the server does not tell', () => {
    const of1_10 = { server_version: '1.10.0', num_tokens_done: undefined }
    const older = readingOf(0, { num_rows_done: undefined, num_total_seq: 5, num_tokens_done: undefined }, of1_10)
    const newer = readingOf(1, { num_rows_done: undefined, num_total_seq: 8, num_tokens_done: undefined }, of1_10)
    const { sums, times, peaks } = changeBetween(older, newer)!
    expect(sums).toMatchObject({ rowsReceived: 3, rows: null, tokens: null, httpBad: null })
    expect(times.queue_time).toBeNull()
    expect(peaks.httpWaiting).toBeNull()
  })

  it('is a gap after a longer pause, and when the clock was set back', () => {
    expect(changeBetween(readingOf(0), readingOf(MAX_PAUSE_MS))).not.toBeNull()
    expect(changeBetween(readingOf(0), readingOf(MAX_PAUSE_MS + 1))).toBeNull()
    expect(changeBetween(readingOf(5), readingOf(5))).toBeNull()
    expect(changeBetween(readingOf(5), readingOf(4))).toBeNull()
  })

  it('is a gap when the server was started again, whatever its counters say', () => {
    const again = { server_start_time: '2026-11-25 10:05:00.000000' }
    expect(wasStartedAgain(readingOf(0), readingOf(1, {}, again))).toBe(true)
    expect(changeBetween(readingOf(0), readingOf(1, { num_data_request: 500 }, again))).toBeNull()
  })

  it('is a gap when a counter went down: no rate is negative', () => {
    expect(changeBetween(readingOf(0), readingOf(1, { num_tokens_done: 1 }))).toBeNull()
    const untimed = { server_start_time: undefined }
    expect(wasStartedAgain(readingOf(0, {}, untimed), readingOf(1, { num_data_request: 1 }, untimed))).toBe(true)
    expect(wasStartedAgain(readingOf(0, {}, untimed), readingOf(1, {}, untimed))).toBe(false)
  })

  it("loses only the HTTP proxy's counts when only that was started again", () => {
    const older = { ...readingOf(0), http: HTTP }
    const counted = changeBetween(older, { ...readingOf(1), http: { ...HTTP, turnedAway: 9 } })!
    expect(counted.sums).toMatchObject({ httpBad: 0, httpTurnedAway: 7, httpFailures: 0 })
    const reset = changeBetween(older, { ...readingOf(1, { num_data_request: 101 }), http: { ...HTTP, failures: 0 } })!
    expect(reset.sums).toMatchObject({ requests: 1, httpBad: null, httpTurnedAway: null, httpFailures: null })
  })
})
