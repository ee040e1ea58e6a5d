import { describe, expect, it } from 'vitest'

import { ask, type Fetch, type Outcome } from '../src/lib/ask'
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
      () => new Response('Bad Gateway', { status: 503 }),
      () => json({}, 404),
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

  it('has a limit of time', async () => {
    const [outcome, asked] = await askWith(fails(new DOMException('late', 'TimeoutError')), '', true)
    expect(outcome).toEqual({ kind: 'unreachable', reason: 'no answer within 8 seconds' })
    expect(asked[0]!.init.signal).toBeInstanceOf(AbortSignal)
  })
})
