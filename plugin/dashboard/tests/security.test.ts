import { describe, expect, it } from 'vitest'

import { readAccess } from '../src/lib/access'
import { actionsOf, findingsOf, principalsOf, refusalsOf } from '../src/lib/security'
import { readingOf } from './readings'

const OPEN = {
  host: '*',
  port: 5555,
  port_out: 5556,
  curve_key_file: null,
  curve_clients: null,
  principals: null,
  http_port: 8125,
  http_host: '0.0.0.0',
  http_api_key: null,
  http_api_key_file: null,
  cors: '*',
  allow_remote_terminate: false,
}
const COUNTS = {
  num_security_connected: 4,
  num_security_granted: 90,
  num_security_refused: 3,
  num_security_quota: 2,
  num_security_wrong_key: 1,
}

function textsOf(more: Record<string, unknown>, sendsKey = false, server = 'http://a:8125'): string[] {
  const { facts } = readingOf(0, {}, { ...OPEN, ...more })
  return findingsOf(facts, server, sendsKey).map(({ level, text }) => `${level} ${text}`)
}

describe('security', () => {
  it('of a server without keys on an open address is said in plain words', () => {
    const [zeromq, http, ...others] = textsOf({})
    expect(zeromq).toMatch(
      /^news ZeroMQ, ports 5555 and 5556: no key and no encryption. Anyone who can reach the ports/,
    )
    expect(http).toMatch(/^news HTTP: no key. Anyone who can reach the port can use the server. So can any web page/)
    expect(others).toEqual([])
    expect(textsOf({ cors: 'https://a.example' })[1]).not.toContain('web page')
  })

  it.each(['127.0.0.1', '::1', 'localhost'])('of a server that listens on %s is not called open', (host) => {
    expect(textsOf({ host, http_host: host })).toEqual([
      'good ZeroMQ, ports 5555 and 5556: no key; this machine only.',
      'good HTTP: no key; this machine only.',
    ])
  })

  it('of a server with keys and TLS is good', () => {
    const keys = { curve_key_file: 'server.key_secret', curve_clients: 'clients', principals: 'principals.toml' }
    expect(textsOf(keys, true, 'https://a:8125')).toEqual([
      'good ZeroMQ, ports 5555 and 5556: encrypted, and only clients with a key can connect.',
      'good HTTP: this page sends a key.',
      'good HTTP: encrypted (TLS).',
    ])
  })

  it('is not good because somebody has typed a key that nobody asked for', () => {
    expect(textsOf({}, true)[1]).toMatch(/^news HTTP: no key/)
    const alone = { http_port: null, http_api_key: null }
    expect(textsOf(alone, true)[1]).toBe('good HTTP: this page sends a key.')
    expect(textsOf(alone)[1]).toMatch(/^news HTTP: no key/)
  })

  it('names that others can stop the server', () => {
    expect(textsOf({ allow_remote_terminate: true })).toContain(
      'news Other machines can stop the server (-allow_remote_terminate).',
    )
  })

  it('of a server of release 1.10 is not known', () => {
    expect(readingOf(0).facts).toBeNull()
    expect(findingsOf(null, 'http://a', false)).toEqual([])
  })

  it('counts what keys have allowed and refused, if there are keys', () => {
    expect(actionsOf(readingOf(0, COUNTS, OPEN))).toEqual([])
    const tallies = actionsOf(readingOf(0, COUNTS, { ...OPEN, curve_key_file: 'server.key_secret' }))
    expect(Object.fromEntries(tallies.map(({ name, count }) => [name, count]))).toEqual({
      ...COUNTS,
      num_security_cancelled: undefined,
      num_security_terminated: undefined,
    })
  })

  it('counts what was refused over HTTP, and for whom requests were answered', () => {
    const access = readAccess(
      [
        'bert_http_refusals_total{reason="Unauthorized"} 7.0',
        'bert_http_refusals_total{reason="QuotaExceeded"} 1.0',
        'bert_http_principal_requests_total{principal="alice",status="2xx"} 40.0',
        'bert_http_principal_requests_total{principal="alice",status="4xx"} 2.0',
        'bert_http_principal_requests_total{principal="alice",status="5xx"} 1.0',
        'bert_http_principal_rows_total{principal="alice"} 400.0',
        'bert_http_requests_total{method="POST",route="/encode",status="200"} 50.0',
      ].join('\n'),
    )
    expect(principalsOf(access)).toEqual([{ name: 'alice', requests: 43, errors: 3, rows: 400 }])
    expect(refusalsOf(access).map(({ name, count }) => [name, count])).toEqual([
      ['Unauthorized', 7],
      ['WrongKeys', undefined],
      ['Forbidden', undefined],
      ['QuotaExceeded', 1],
    ])
  })

  it('has no list of everybody', () => {
    const access = readAccess(
      'bert_http_principal_rows_total{principal="anonymous"} 4.0\nbert_http_refusals_total{reason="Forbidden"} 0.0\n',
    )
    expect(principalsOf(access)).toEqual([])
    expect(refusalsOf(access)).toEqual([])
    expect(refusalsOf(null)).toEqual([])
  })
})
