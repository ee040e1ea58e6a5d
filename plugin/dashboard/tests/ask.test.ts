import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ask, TIMEOUT_MS, type Fetch, type Outcome } from '../src/lib/ask'
import { statusOf } from './readings'

const METRICS = 'bert_http_requests_total{method="POST",route="/encode",status="429"} 7.0\n'

interface Asked {
  url: string
  init: RequestInit
}

async function askWith(
  answers: (url: string) => Response,
  key = '',
  isOtherOrigin = false,
): Promise<[Outcome, Asked[]]> {
  const asked: Asked[] = []
  const fetch: Fetch = async (url, init) => {
    asked.push({ url, init })
    return answers(url)
  }
  const outcome = await ask({ server: 'http://a', key, isOtherOrigin }, fetch, new AbortController().signal, () => 77)
  return [outcome, asked]
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status })
}

const fails = (error: unknown) => (): Response => {
  throw error
}

describe('a poll', () => {
  it('reads the status, and the metrics after it', async () => {
    const [outcome, asked] = await askWith((url) =>
      url.endsWith('/metrics') ? new Response(METRICS) : json(statusOf()),
    )
    expect(asked.map(({ url }) => url)).toEqual(['http://a/status/server', 'http://a/metrics'])
    expect(outcome).toMatchObject({ kind: 'reading', reading: { at: 77, http: { turnedAway: 7 } } })
  })

  it('does without the metrics', async () => {
    for (const answer of [() => new Response('', { status: 500 }), fails(new TypeError('cut'))]) {
      const [outcome] = await askWith((url) => (url.endsWith('/metrics') ? answer() : json(statusOf())))
      expect(outcome).toMatchObject({ kind: 'reading', reading: { http: null } })
    }
  })

  it('sends the key in a header, never in an address, and follows nobody with it', async () => {
    const [, asked] = await askWith(() => json(statusOf()), 'sk-1')
    for (const { url, init } of asked) {
      expect(url).not.toContain('sk-1')
      expect(init).toMatchObject({ headers: { authorization: 'Bearer sk-1' }, redirect: 'error', credentials: 'omit' })
    }
    const [, without] = await askWith(() => json(statusOf()))
    expect(without[0]!.init.headers).toEqual({})
  })

  it('says that a key is needed, or another one', async () => {
    expect((await askWith(() => json({}, 401)))[0]).toEqual({ kind: 'locked', keyWasSent: false })
    expect((await askWith(() => json({}, 401), 'sk'))[0]).toEqual({ kind: 'locked', keyWasSent: true })
  })

  it('tells a server that is away from one that is none', async () => {
    const away = { description: 'the server behind does not answer', type: 'Unavailable', status: 503 }
    expect((await askWith(() => json(away, 503)))[0]).toEqual({ kind: 'away', reason: away.description })
    for (const answer of [
      () => json({}, 403),
      () => json({}, 404),
      () => new Response(null, { status: 304 }),
      () => json({ a: 1 }),
      () => new Response('<html>'),
    ]) {
      expect((await askWith(answer))[0].kind).toBe('stranger')
    }
  })

  it('tells a server that is not there from one whose answers the browser hides', async () => {
    const refused = fails(new TypeError('Failed to fetch'))
    expect((await askWith(refused, '', true))[0]).toEqual({ kind: 'unreachable', reason: 'no connection' })
    const hidden = (url: string): Response => (url.endsWith('/health/live') ? new Response('') : refused())
    const [outcome, asked] = await askWith(hidden, 'sk', true)
    expect(outcome).toEqual({ kind: 'hidden' })
    expect(asked[1]!.init).toMatchObject({ mode: 'no-cors' })
    expect(asked[1]!.init.headers).toBeUndefined()
    expect((await askWith(hidden))[0].kind).toBe('unreachable')
  })

  it('takes no fault that may pass for a stranger: a proxy before a server that is started again, or our own', async () => {
    for (const status of [429, 500, 502, 503, 504]) {
      const reason = `it responds to /status/server with ${status}`
      for (const answer of [() => new Response('<html>', { status }), () => json({ status }, status)]) {
        expect((await askWith(answer))[0]).toEqual({ kind: 'unreachable', reason, status })
      }
    }
    const ours = { description: 'a fault of this proxy: KeyError', type: 'InternalError', status: 500 }
    expect((await askWith(() => json(ours, 500)))[0]).toMatchObject({ kind: 'unreachable', status: 500 })
  })
})

describe('the time of a poll', () => {
  const LATE: Outcome = { kind: 'unreachable', reason: 'no response within 8 seconds' }
  let leave: AbortController
  let added: ReturnType<typeof vi.spyOn>
  let removed: ReturnType<typeof vi.spyOn>

  beforeEach(() => {
    vi.useFakeTimers()
    leave = new AbortController()
    added = vi.spyOn(leave.signal, 'addEventListener')
    removed = vi.spyOn(leave.signal, 'removeEventListener')
  })

  /** Nothing is left of it: no timer, no listener. */
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0)
    expect(added.mock.calls.length).toBeGreaterThan(0)
    expect(removed.mock.calls).toEqual(added.mock.calls)
    vi.useRealTimers()
  })

  function asking(fetch: Fetch, isOtherOrigin = false): Promise<Outcome> {
    return ask({ server: 'http://a', key: '', isOtherOrigin }, fetch, leave.signal, () => 77)
  }

  /** Comes never, but fails as a browser does when it is given up. */
  function never(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const give = (): void => reject(new DOMException('given up', 'AbortError'))
      if (signal.aborted) give()
      else signal.addEventListener('abort', give)
    })
  }

  it('is over, though nothing comes', async () => {
    const outcome = asking((_, { signal }) => never(signal!), true)
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1)
    expect(vi.getTimerCount()).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(await outcome).toEqual(LATE)
  })

  it('is over, though the beginning of an answer has come', async () => {
    const outcome = asking(async (_, { signal }) => Object.assign(json({}), { text: () => never(signal!) }))
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS)
    expect(await outcome).toEqual(LATE)
  })

  it('is over for the metrics, too, and for the question whether there is somebody', async () => {
    const reading = asking(async (url, { signal }) => (url.endsWith('/metrics') ? never(signal!) : json(statusOf())))
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS)
    expect(await reading).toMatchObject({ kind: 'reading', reading: { http: null } })
    const outcome = asking(async (url, { signal }) => {
      if (url.endsWith('/health/live')) return never(signal!)
      throw new TypeError('Failed to fetch')
    }, true)
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS)
    expect(await outcome).toEqual({ kind: 'unreachable', reason: 'no connection' })
  })

  it('ends early where it is given up, also before it began', async () => {
    const outcome = asking((_, { signal }) => never(signal!), true)
    leave.abort()
    expect((await outcome).kind).toBe('unreachable')
    const signals: boolean[] = []
    await asking((_, { signal }) => (signals.push(signal!.aborted), never(signal!)))
    expect(signals).toEqual([true])
  })

  it('leaves nothing where all comes', async () => {
    const answers: Fetch = async (url) => (url.endsWith('/metrics') ? new Response(METRICS) : json(statusOf()))
    expect((await asking(answers)).kind).toBe('reading')
  })

  it('needs no AbortSignal.any, nor AbortSignal.timeout', async () => {
    vi.stubGlobal('AbortSignal', undefined)
    try {
      expect((await asking(async () => json(statusOf()))).kind).toBe('reading')
    } finally {
      vi.unstubAllGlobals()
    }
  })
})
