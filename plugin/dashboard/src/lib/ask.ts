// One poll: the status and the metrics of a server, or the reason why there are none.

import { readAccess } from './access'
import { isObject } from './json'
import { readMetrics } from './metrics'
import { readPast, type Past } from './past'
import { readStatus, type Reading } from './status'

export type Outcome =
  | { kind: 'reading'; reading: Reading }
  /** A key is asked for; or the one that was sent is not right. */
  | { kind: 'locked'; keyWasSent: boolean }
  /** The HTTP proxy answers; the server behind it does not. */
  | { kind: 'away'; reason: string }
  /** Something answers, but not as a bert-as-service does. */
  | { kind: 'stranger'; reason: string }
  /** It answers, and the browser hides the answer from this page: -cors. */
  | { kind: 'hidden' }
  /** Nothing answers; or, with a status, what stands there now has no answer of the server's. */
  | { kind: 'unreachable'; reason: string; status?: number }

/** Longer than the proxy itself waits for a server that is away. */
export const TIMEOUT_MS = 8_000

export interface Question {
  server: string
  key: string
  /** Whether the server has another origin than the page. */
  isOtherOrigin: boolean
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** Ask once. `signal` ends it early; it never fails, and never takes much longer than three times the timeout. */
export async function ask(question: Question, fetch: Fetch, signal: AbortSignal, now: () => number): Promise<Outcome> {
  let response: Response
  let text: string
  try {
    ;[response, text] = await get('/status/server', question, fetch, signal)
  } catch (error) {
    return whyNot(error, question, fetch, signal)
  }
  const at = now()
  if (response.status === 401) return { kind: 'locked', keyWasSent: question.key !== '' }
  const body = parse(text)
  const isOurs = isObject(body) && typeof body.description === 'string'
  if (response.status === 503 && isOurs) return { kind: 'away', reason: String(body.description) }
  if (!response.ok) {
    const { status } = response
    const reason = `it responds to /status/server with ${status}`
    return isPassing(status) ? { kind: 'unreachable', reason, status } : { kind: 'stranger', reason }
  }
  const reading = readStatus(body, at)
  if (reading === null)
    return { kind: 'stranger', reason: 'its response to /status/server is not a status of bert-as-service' }
  const page = await askMetrics(question, fetch, signal)
  if (page !== null) {
    reading.http = readMetrics(page)
    reading.access = readAccess(page)
  }
  return { kind: 'reading', reading }
}

/** Whether what answers so may be a bert-as-service, or a proxy before one that is started again. */
function isPassing(status: number): boolean {
  return status >= 500 || status === 429
}

/** The samples that the proxy has kept of the hour before; null if it keeps nothing, as those of older releases. */
export async function askPast(
  question: Question,
  fetch: Fetch,
  signal: AbortSignal,
  now: () => number,
): Promise<Past | null> {
  try {
    const [response, text] = await get('/status/history', question, fetch, signal)
    return response.ok ? readPast(parse(text), now()) : null
  } catch {
    return null // the page then has what it sees itself
  }
}

async function askMetrics(question: Question, fetch: Fetch, signal: AbortSignal): Promise<string | null> {
  try {
    const [response, text] = await get('/metrics', question, fetch, signal)
    return response.ok ? text : null
  } catch {
    return null // the status is worth more than nothing
  }
}

/** The answer and its body, which together have to come in time. */
function get(
  path: string,
  { server, key }: Question,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<readonly [Response, string]> {
  return inTime(signal, async (ending) => {
    const response = await fetch(server + path, {
      headers: key ? { authorization: `Bearer ${key}` } : {},
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error', // or a key might go where it was not given for
      signal: ending,
    })
    return [response, await response.text()]
  })
}

class Late extends Error {}

/**
 * Do `work` with a signal that comes with `outer`, or when its time is over: then it fails with `Late`. No timer and no
 * listener is left of it. (AbortSignal.any would do, but younger browsers only have it.)
 */
async function inTime<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const ending = new AbortController()
  const end = (): void => ending.abort()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    end()
  }, TIMEOUT_MS)
  outer.addEventListener('abort', end)
  if (outer.aborted) end()
  try {
    return await work(ending.signal)
  } catch (error) {
    throw isLate ? new Late() : error
  } finally {
    clearTimeout(timer)
    outer.removeEventListener('abort', end)
  }
}

/** A browser does not say why it could not ask. Whether the server answers at all can be found out without reading. */
async function whyNot(error: unknown, question: Question, fetch: Fetch, signal: AbortSignal): Promise<Outcome> {
  if (error instanceof Late) {
    return { kind: 'unreachable', reason: `no response within ${TIMEOUT_MS / 1000} seconds` }
  }
  if (question.isOtherOrigin && !signal.aborted) {
    try {
      await inTime(signal, (ending) =>
        fetch(`${question.server}/health/live`, {
          mode: 'no-cors',
          cache: 'no-store',
          credentials: 'omit',
          signal: ending,
        }),
      )
      return { kind: 'hidden' }
    } catch {
      // it is not reachable
    }
  }
  return { kind: 'unreachable', reason: 'no connection' }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
