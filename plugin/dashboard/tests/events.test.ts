import { describe, expect, it } from 'vitest'

import { eventsBetween, latest, MAX_EVENTS } from '../src/lib/events'
import { readingOf } from './readings'

function workers(...states: [string, number][]): Record<string, unknown> {
  return { workers: states.map(([state, restarts], worker) => ({ worker, state, restarts, device: -1, pid: 1 })) }
}

function textsBetween(older: Record<string, unknown>, newer: Record<string, unknown>, statistic = {}): string[] {
  return eventsBetween(readingOf(0, {}, older), readingOf(1, statistic, newer)).map((event) => event.text)
}

describe('events', () => {
  it('are none while nothing happens', () => {
    expect(textsBetween({}, {})).toEqual([])
  })

  it('tell of a worker that dies and comes again', () => {
    expect(textsBetween(workers(['ready', 0]), workers(['restarting', 0]))).toEqual(['worker 0 is restarting'])
    expect(textsBetween(workers(['ready', 0]), workers(['starting', 1]))).toEqual(['worker 0 died and was restarted'])
    expect(textsBetween(workers(['starting', 1]), workers(['ready', 1]))).toEqual(['worker 0 is ready'])
    expect(textsBetween(workers(['ready', 0]), workers(['ready', 3]))).toEqual([
      'worker 0 died and was restarted, 3 times',
    ])
    expect(textsBetween(workers(['restarting', 5]), workers(['gone', 5]))).toEqual([
      'worker 0 was given up: it kept crashing',
    ])
  })

  it('tell of the sink, the proxy and requests that kill', () => {
    const dead = { num_sink_restart: 1, num_http_restart: 2, num_poisoned_request: 1 }
    const older = readingOf(0, { num_sink_restart: 0, num_http_restart: 0, num_poisoned_request: 0 })
    expect(eventsBetween(older, readingOf(1, dead)).map((event) => event.text)).toEqual([
      'the sink died and was restarted',
      'the HTTP proxy died and was restarted, 2 times',
      'a request crashed workers and will not be retried',
    ])
  })

  it('tell of a server behind a proxy that goes away and comes back', () => {
    const is = (away: boolean, more: unknown[] = []) => ({
      upstreams: [{ name: 'ranker', address: 'a:1,2', is_away: away }, ...more],
    })
    expect(textsBetween(is(false), is(true))).toEqual(['the server of ranker at a:1,2 is away'])
    expect(textsBetween(is(true), is(false))).toEqual(['the server of ranker at a:1,2 is ready'])
    const another = { name: 'ranker', address: 'b:1,2', is_away: true }
    expect(textsBetween(is(true), is(true, [another]))).toEqual([])
  })

  it('tell of a drain, and of a server that is another', () => {
    expect(textsBetween({}, { server_state: 'draining' })).toEqual(['the server is draining'])
    expect(textsBetween({}, { server_start_time: '2026-11-25 11:00:00', ...workers(['starting', 0]) })).toEqual([
      'the server was restarted: its counters start from zero',
    ])
  })

  it('are kept up to a number, the latest first', () => {
    const many = Array.from({ length: 3 * MAX_EVENTS }, (_, at) => ({ at, level: 'news' as const, text: '' }))
    expect(latest(many).map((event) => event.at)).toEqual(
      Array.from({ length: MAX_EVENTS }, (_, n) => 3 * MAX_EVENTS - 1 - n),
    )
  })
})
