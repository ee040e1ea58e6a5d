import { describe, expect, it } from 'vitest'

import { add, difference, quantile, readBuckets } from '../src/lib/histogram'
import { BOUNDS, buckets } from './readings'

describe('buckets of a status', () => {
  it('are counts of each, though they come cumulative', () => {
    expect(readBuckets(buckets(1, 0, 4, 2))).toEqual({ bounds: BOUNDS, counts: [1, 0, 4, 2] })
  })

  it.each([
    ['nothing', undefined],
    ['an empty list', []],
    ['no pairs', [1, 2]],
    [
      'counts that fall',
      [
        [0.1, 2],
        [null, 1],
      ],
    ],
    [
      'bounds that fall',
      [
        [0.1, 1],
        [0.01, 2],
      ],
    ],
    [
      'a bound behind none',
      [
        [null, 1],
        [0.1, 2],
      ],
    ],
    ['a text', [['a', 1]]],
    ['no number', [[0.1, Number.NaN]]],
  ])('are none if they are %s', (_, value) => {
    expect(readBuckets(value)).toBeNull()
  })

  it('differ by what came between', () => {
    const older = readBuckets(buckets(1, 2, 3, 0))!
    const newer = readBuckets(buckets(1, 5, 3, 2))!
    expect(difference(older, newer)).toEqual({ 1: 3, 3: 2 })
    expect(difference(newer, older)).toBeNull()
    expect(difference(older, { bounds: [0.1, null], counts: [1, 1] })).toBeNull()
  })

  it('add up', () => {
    const one = { 1: 3 }
    expect(add(one, { 1: 1, 2: 5 })).toEqual({ 1: 4, 2: 5 })
    expect(one).toEqual({ 1: 3 })
  })
})

describe('a percentile', () => {
  it('is linear within its bucket', () => {
    expect(quantile(BOUNDS, { 1: 10 }, 0.5)).toBeCloseTo(0.0055, 10)
    expect(quantile(BOUNDS, { 0: 1, 2: 1 }, 0.5)).toBeCloseTo(0.001, 10)
    expect(quantile(BOUNDS, { 0: 90, 2: 10 }, 0.99)).toBeCloseTo(0.091, 10)
  })

  it('beyond the last bound is that bound', () => {
    expect(quantile(BOUNDS, { 3: 5 }, 0.5)).toBe(0.1)
  })

  it('of nothing is not known', () => {
    expect(quantile(BOUNDS, {}, 0.5)).toBeNull()
  })

  it('is that of the server for the same durations', () => {
    // bert_serving.server.stats.Histogram of 1, 2, 2, 40 and 2000 ms
    const bounds = [
      0.001,
      0.002,
      0.003,
      0.005,
      0.007,
      0.01,
      0.02,
      0.03,
      0.05,
      0.07,
      0.1,
      0.2,
      0.3,
      0.5,
      0.7,
      1,
      2,
      3,
      null,
    ]
    const counts = { 0: 1, 1: 2, 8: 1, 16: 1 }
    expect(quantile(bounds, counts, 0.5)).toBeCloseTo(0.00175, 10)
    expect(quantile(bounds, counts, 0.9)).toBeCloseTo(1.5, 10)
  })
})
