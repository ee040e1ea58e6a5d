// Events that an operator would want to have seen: starts, deaths, absences; the latest of them.

import { wasStartedAgain } from './rates'
import type { Reading, Worker } from './status'

export type Level = 'good' | 'news' | 'bad'

export interface Event {
  /** Milliseconds since 1970. */
  at: number
  level: Level
  text: string
}

export const MAX_EVENTS = 100

/** The events between two readings, however far apart. */
export function eventsBetween(older: Reading, newer: Reading): Event[] {
  const at = newer.at
  if (wasStartedAgain(older, newer)) {
    return [{ at, level: 'bad', text: 'the server was restarted: its counters start from zero' }]
  }
  const events: Event[] = []
  const say = (level: Level, text: string): void => void events.push({ at, level, text })
  if (older.state !== null && newer.state !== null && newer.state !== older.state) {
    say(newer.state === 'serving' ? 'good' : 'news', `the server is ${newer.state}`)
  }
  const before = new Map((older.workers ?? []).map((worker) => [worker.number, worker]))
  for (const worker of newer.workers ?? []) {
    const was = before.get(worker.number)
    if (was) sayOfWorker(was, worker, say)
  }
  if (older.workers === null) {
    const deaths = (newer.counters.num_worker_restart ?? 0) - (older.counters.num_worker_restart ?? 0)
    if (deaths > 0) say('bad', `a worker died and was restarted${timesOver(deaths)}`)
  }
  const wasAway = new Map(older.upstreams.map((upstream) => [upstream.address, upstream.isAway]))
  for (const { name, address, isAway } of newer.upstreams) {
    if (isAway === (wasAway.get(address) ?? isAway)) continue
    say(isAway ? 'bad' : 'good', `the server of ${name} at ${address} is ${isAway ? 'away' : 'ready'}`)
  }
  for (const [name, what] of [
    ['num_sink_restart', 'the sink'],
    ['num_http_restart', 'the HTTP proxy'],
  ] as const) {
    const times = (newer.counters[name] ?? 0) - (older.counters[name] ?? 0)
    if (times > 0) say('bad', `${what} died and was restarted${timesOver(times)}`)
  }
  const poisoned = (newer.counters.num_poisoned_request ?? 0) - (older.counters.num_poisoned_request ?? 0)
  if (poisoned > 0)
    say('bad', `${poisoned === 1 ? 'a request' : `${poisoned} requests`} crashed workers and will not be retried`)
  return events
}

function sayOfWorker(was: Worker, is: Worker, say: (level: Level, text: string) => void): void {
  const restarts = (is.restarts ?? 0) - (was.restarts ?? 0)
  if (is.state === 'gone' && was.state !== 'gone') {
    say('bad', `worker ${is.number} was given up: it kept crashing`)
  } else if (restarts > 0) {
    say('bad', `worker ${is.number} died and was restarted${timesOver(restarts)}`)
  } else if (is.state !== 'ready' && was.state === 'ready') {
    say('bad', `worker ${is.number} is ${is.state}`)
  }
  if (is.state === 'ready' && was.state !== 'ready') say('good', `worker ${is.number} is ready`)
}

function timesOver(times: number): string {
  return times === 1 ? '' : `, ${times} times`
}

/** The latest of all, the latest first. */
export function latest(events: readonly Event[]): Event[] {
  return [...events].sort((one, other) => other.at - one.at).slice(0, MAX_EVENTS)
}
