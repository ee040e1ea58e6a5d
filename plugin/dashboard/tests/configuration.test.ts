import { describe, expect, it } from 'vitest'

import { settingsOf } from '../src/lib/configuration'

function shown(name: string, value: unknown): string | undefined {
  return Object.fromEntries(settingsOf({ [name]: value }, new Set()))[name]
}

describe('the configuration', () => {
  it.each([
    ['pooling_strategy', 2, 'REDUCE_MEAN'],
    ['pooling_strategy', 99, '99'],
    ['pooling_layer', [-2, -1], '-2, -1'],
    ['max_seq_len', 256, '256 tokens'],
    ['max_seq_len', null, 'longest row of each batch'],
    ['max_queue_rows', 1_000_000, '1,000,000 rows'],
    ['prefetch_size', 1, '1 batch'],
    ['http_timeout', 60, '60 s'],
    ['http_timeout', 1, '1 s'],
    ['http_max_body', 16_777_216, '16 MiB'],
    ['max_message_bytes', 1000, '1,000 bytes'],
    ['max_memory_bytes', null, 'memory of the container or machine'],
    ['gpu_memory_fraction', 0.5, '50% of a GPU for each worker'],
    ['device_map', [-1, 0], 'CPU, GPU 0'],
    ['device_map', [], 'none'],
    ['tensorflow_version', ['2', '21', '0'], '2.21.0'],
    ['extensions', [], 'none'],
    ['fp16', false, 'no'],
    ['cpu', true, 'yes'],
    ['port', 5555, '5555'],
    ['audit_file', null, 'none: actions are only counted'],
    ['something_new', null, 'not set'],
    ['http_api_key', '***', '***'],
  ])('says of %s %j: %s', (name, value, expected) => {
    expect(shown(name, value)).toBe(expected)
  })

  it('has a line for each part of the model, in order, and nothing hidden', () => {
    const status = { xla: false, model: { pooling: 'REDUCE_MEAN', labels: null, prompts: {} }, statistic: { a: 1 } }
    expect(settingsOf(status, new Set(['statistic']))).toEqual([
      ['model.labels', 'not set'],
      ['model.pooling', 'REDUCE_MEAN'],
      ['model.prompts', 'none'],
      ['xla', 'no'],
    ])
  })
})
