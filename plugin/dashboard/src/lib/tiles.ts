// The figures at the top: how it is now.

import { RATE_S, SHARE_S } from './charts'
import { errorRate } from './errors'
import { count, duration, rate, share, UNKNOWN } from './format'
import { paddingOf, quantileOf, rateOf } from './history'
import type { Watch } from './watch'

export interface Tile {
  name: string
  value: string
  unit: string
  detail: string
  /** The time that the value is of, in words. */
  window: string
  about: string
  /** Whether an operator should look. */
  isAlarm: boolean
}

/** The tiles at `now`, the time of the latest reading. */
export function tilesOf({ history, reading }: Watch, now: number): Tile[] {
  const [few, many] = [history.last(RATE_S, now), history.last(SHARE_S, now)]
  const { counters = {}, gauges = {}, http = null } = reading ?? {}
  const latency = (part: number): string => duration(quantileOf(many, 'total_time', part, history.bounds))
  const isTold = 'num_rows_done' in counters || reading === null

  const tile = (given: Omit<Tile, 'isAlarm'> & { isAlarm?: boolean }): Tile => ({
    isAlarm: false,
    ...given,
    unit: given.value === UNKNOWN ? '' : given.unit,
  })
  const ofRate = { unit: '/s', window: `${RATE_S} s` }
  const ofShare = { unit: '', window: `${SHARE_S} s` }
  return [
    tile({
      ...ofRate,
      name: 'Requests',
      value: rate(rateOf(few, 'requests')),
      detail: `${rate(rateOf(few, 'published'))} /s answered`,
      about: `Requests to encode, mean of the last ${RATE_S} seconds`,
    }),
    tile({
      ...ofRate,
      name: 'Rows',
      value: rate(rateOf(few, isTold ? 'rows' : 'rowsReceived')),
      detail: isTold ? `${count(counters.num_rows_done)} in total` : 'received',
      about: isTold
        ? `Texts answered with vectors, mean of the last ${RATE_S} seconds`
        : 'Texts received: this server does not report the answered ones',
    }),
    tile({
      ...ofRate,
      name: 'Tokens',
      value: rate(rateOf(few, 'tokens')),
      detail: `${rate(rateOf(few, 'computedTokens'))} /s with padding`,
      about: `Tokens computed, without and with padding, mean of the last ${RATE_S} seconds`,
    }),
    tile({ ...ofRate, name: 'Errors', ...errorsOf(few) }),
    tile({
      name: 'Queue',
      value: count(gauges.queue_rows),
      unit: gauges.queue_rows === 1 ? 'row' : 'rows',
      window: 'now',
      detail: `${count(http?.waiting)} requests at HTTP`,
      about: 'Texts that wait for a worker, and requests that wait for a thread of the HTTP proxy',
    }),
    tile({
      ...ofShare,
      name: 'Latency p50',
      value: latency(0.5),
      detail: `p99 ${latency(0.99)}`,
      about: `From acceptance to reply, in the last ${SHARE_S} seconds`,
    }),
    tile({
      ...ofShare,
      name: 'Padding',
      value: share(paddingOf(many)),
      detail: 'of computed tokens',
      about: `Share of padding in the computed tokens, in the last ${SHARE_S} seconds`,
    }),
    tile({
      name: 'Clients',
      value: count(gauges.num_active_client),
      unit: 'active',
      window: 'now',
      detail: `${count(gauges.num_total_client)} in total`,
      about: 'Clients with a request in the last 180 seconds; each connection of the HTTP proxy counts as one',
    }),
  ]
}

/** All errors together; those that are not mistakes of callers are an alarm. */
function errorsOf(slot: Parameters<typeof errorRate>[0]): Pick<Tile, 'value' | 'detail' | 'about' | 'isAlarm'> {
  const about =
    `All requests that got an error, mean of the last ${RATE_S} seconds: failed, turned away for overload, ` +
    'and invalid ones. The last kind are mistakes of callers, and no alarm'
  const [failed, overload, invalid] = [
    errorRate(slot, 'failed'),
    errorRate(slot, 'overload'),
    errorRate(slot, 'invalid'),
  ]
  if (failed === null || overload === null || invalid === null)
    return { value: UNKNOWN, detail: 'not reported', about, isAlarm: false }
  const value = rate(failed + overload + invalid)
  if (rateOf(slot, 'failed') === null)
    return { value: UNKNOWN, detail: `over HTTP: ${value}\u00a0/s`, about, isAlarm: false }
  if (failed > 0) return { value, detail: `${rate(failed)} /s failed`, about, isAlarm: true }
  if (overload > 0) return { value, detail: `${rate(overload)} /s for overload`, about, isAlarm: true }
  return { value, detail: invalid > 0 ? 'invalid requests only' : 'none', about, isAlarm: false }
}
