import { describe, expect, it } from 'vitest'

import { readMetrics } from '../src/lib/metrics'
import { detailsOf, readStatus } from '../src/lib/status'
import { statusOf } from './readings'

describe('a status', () => {
  it('is read with its workers, numbers and options', () => {
    const reading = readStatus(statusOf(), 5)!
    expect(reading).toMatchObject({ at: 5, state: 'serving', release: '2.0.0', model: 'tiny', uptimeS: 90.5 })
    expect(reading.workers).toEqual([
      { number: 0, state: 'ready', device: 'CPU', pid: 11, restarts: 0, address: null, waitsFor: null },
      { number: 1, state: 'ready', device: 'GPU 0', pid: 12, restarts: 0, address: null, waitsFor: null },
    ])
    expect(reading.counters.num_data_request).toBe(100)
    expect(reading.gauges).toEqual({ queue_rows: 7, num_active_client: 3 })
    expect(reading.times.total_time?.counts).toEqual([1, 4, 5, 0])
    expect(reading.configuration).toContainEqual(['http_api_key', '***'])
    expect(reading.configuration.map(([name]) => name)).not.toContain('statistic')
  })

  it('tells where the workers of a cluster are, and what they wait for', () => {
    const workers = [
      { worker: 0, device: -1, state: 'ready', pid: 11, restarts: 0 },
      { worker: 1, device: 0, state: 'ready', pid: 12, restarts: 0, node: 'fe1c', address: '10.0.0.7' },
      { worker: 2, device: 0, state: 'waiting', pid: null, restarts: 0, waits_for: 'num_cpus=1 num_gpus=0.5' },
    ]
    const reading = readStatus(statusOf({}, { workers }), 0)!
    expect(reading.workers!.map(detailsOf)).toEqual([
      'CPU · pid 11',
      'GPU 0 · pid 12 · on 10.0.0.7',
      'GPU 0 · waits for num_cpus=1 num_gpus=0.5',
    ])
  })

  it('of a proxy with several servers lists them', () => {
    const upstreams = [
      {
        name: 'encoder',
        address: '10.0.0.7:5555,5556',
        is_away: false,
        unanswered_requests: 2,
        requests: 9,
        errors: 1,
      },
      { name: 'ranker', address: '10.0.0.9:5555,5556', is_away: true },
      'nonsense',
      {},
    ]
    const reading = readStatus(statusOf({}, { upstreams }), 0)!
    expect(reading.upstreams).toEqual([
      { name: 'encoder', address: '10.0.0.7:5555,5556', isAway: false, unanswered: 2, requests: 9, errors: 1 },
      { name: 'ranker', address: '10.0.0.9:5555,5556', isAway: true, unanswered: null, requests: null, errors: null },
      { name: 'unknown', address: '', isAway: false, unanswered: null, requests: null, errors: null },
    ])
    expect(reading.configuration.map(([name]) => name)).not.toContain('upstreams')
    expect(readStatus(statusOf(), 0)!.upstreams).toEqual([])
  })

  it('of release 1.10 has less, which is not taken for zero', () => {
    const reading = readStatus({ server_version: '1.10.0', statistic: { num_data_request: 4, num_total_seq: 9 } }, 0)!
    expect(reading.counters).toEqual({ num_data_request: 4, num_total_seq: 9 })
    expect(reading).toMatchObject({
      workers: null,
      state: null,
      release: null,
      gauges: {},
      times: {},
      uptimeS: null,
      model: null,
    })
  })

  it.each([null, 'text', [], {}, { statistic: {} }, { server_version: '1', statistic: [] }])('is not %j', (body) => {
    expect(readStatus(body, 0)).toBeNull()
  })

  it('with nonsense in it is read without that', () => {
    const reading = readStatus(
      statusOf({ num_data_request: 'many', queue_rows: null, total_time: { buckets: 'x' } }, { workers: [3, {}] }),
      0,
    )!
    expect(reading.counters.num_data_request).toBeUndefined()
    expect(reading.gauges.queue_rows).toBeUndefined()
    expect(reading.times).toEqual({})
    expect(reading.workers).toEqual([
      { number: 0, state: 'unknown', device: '', pid: null, restarts: null, address: null, waitsFor: null },
    ])
    expect(detailsOf(reading.workers![0]!)).toBe('')
  })
})

describe('the metrics', () => {
  const PAGE = `# HELP bert_http_requests_total HTTP requests, by route and status
# TYPE bert_http_requests_total counter
bert_http_requests_total{method="POST",route="/encode",status="200"} 50.0
bert_http_requests_total{method="POST",route="/encode",status="429"} 7.0
bert_http_requests_total{method="POST",route="/v1/embeddings",status="400"} 2.0
bert_http_requests_total{method="POST",route="/tokenize",status="401"} 1.0
bert_http_requests_total{method="POST",route="/rerank",status="422"} 4.0
bert_http_requests_total{method="POST",route="/encode",status="503"} 3.0
bert_http_requests_total{method="GET",route="/status/server",status="401"} 99.0
bert_http_requests_created{method="POST",route="/encode",status="429"} 1.7e+09
bert_http_requests_working 10.0
bert_http_requests_waiting 4.0
`

  it('count the errors of the routes that encode, and not those of this page', () => {
    expect(readMetrics(PAGE)).toEqual({ badRequests: 7, turnedAway: 7, failures: 3, working: 10, waiting: 4 })
  })

  it('are none of another page', () => {
    expect(readMetrics('<html>')).toBeNull()
  })
})
