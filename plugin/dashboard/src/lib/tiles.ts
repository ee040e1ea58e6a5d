// The figures at the top: how it is now.

import { count, duration, rate, share, UNKNOWN } from './format'
import { paddingOf, quantileOf, rateOf } from './history'
import type { Watch } from './watch'

export interface Tile {
  name: string
  value: string
  unit: string
  detail: string
  about: string
  /** Which of the two is not as it should be. */
  alarm: { value: boolean; detail: boolean }
}

/** Rates are of some seconds, or they would jump: workers count their tokens once a second. */
export const RATE_S = 15
/** Percentiles and shares need more than a few values. */
export const SHARE_S = 60

/** The tiles at `now`, the time of the latest reading. */
export function tilesOf({ history, reading }: Watch, now: number): Tile[] {
  const [few, many] = [history.last(RATE_S, now), history.last(SHARE_S, now)]
  const { counters = {}, gauges = {}, http = null } = reading ?? {}
  const latency = (part: number): string => duration(quantileOf(many, 'total_time', part, history.bounds))

  const errors = rateOf(few, 'failed', 'refused', 'busy', 'expired', 'poisoned', 'garbage')
  const ofHttp = rateOf(few, 'httpBad', 'httpTurnedAway', 'httpFailures')
  const isTold = 'num_rows_done' in counters || reading === null

  const tile = (
    name: string,
    value: string,
    unit: string,
    detail: string,
    about: string,
    alarm = { value: false, detail: false },
  ): Tile => ({
    name,
    value,
    unit: value === UNKNOWN ? '' : unit,
    detail,
    about,
    alarm,
  })
  return [
    tile(
      'Requests',
      rate(rateOf(few, 'requests')),
      '/s',
      `${rate(rateOf(few, 'published'))} /s answered`,
      `Requests to encode, mean of the last ${RATE_S} seconds`,
    ),
    tile(
      'Rows',
      rate(rateOf(few, isTold ? 'rows' : 'rowsReceived')),
      '/s',
      isTold ? `${count(counters.num_rows_done)} in total` : 'received',
      isTold
        ? `Texts answered with vectors, mean of the last ${RATE_S} seconds`
        : 'Texts received: this server does not report the answered ones',
    ),
    tile(
      'Tokens',
      rate(rateOf(few, 'tokens')),
      '/s',
      `${rate(rateOf(few, 'computedTokens'))} /s padded`,
      `Tokens computed, without and with padding, mean of the last ${RATE_S} seconds`,
    ),
    tile(
      'Errors',
      rate(errors),
      '/s',
      `over HTTP: ${rate(ofHttp)}\u00a0/s`,
      'Requests that failed, were refused or expired, and messages that the server could not read. ' +
        'Below: errors of its HTTP proxy, which can be for the same requests',
      { value: (errors ?? 0) > 0, detail: (ofHttp ?? 0) > 0 },
    ),
    tile(
      'Queue',
      count(gauges.queue_rows),
      gauges.queue_rows === 1 ? 'row' : 'rows',
      `${count(http?.waiting)} requests at HTTP`,
      'Texts that wait for a worker, and requests that wait for a thread of the HTTP proxy',
    ),
    tile(
      'Latency p50',
      latency(0.5),
      '',
      `p99 ${latency(0.99)}`,
      `From acceptance to reply, in the last ${SHARE_S} seconds`,
    ),
    tile(
      'Padding',
      share(paddingOf(many)),
      '',
      'of computed tokens',
      `Share of padding in the computed tokens, in the last ${SHARE_S} seconds`,
    ),
    tile(
      'Clients',
      count(gauges.num_active_client),
      'active',
      `${count(gauges.num_total_client)} in total`,
      'Clients with a request in the last 180 seconds; each connection of the HTTP proxy counts as one',
    ),
  ]
}
