import { describe, expect, it } from 'vitest'

import { counts, durations, numbers, shares } from '../src/lib/axis'

const plain = (labels: string[]): string => labels.join(' | ').replaceAll('\u202f', ' ')

describe('the labels of an axis', () => {
  it.each([
    [[0, 5, 10, 15], 5, '0 | 5 | 10 | 15'],
    [[0, 2.5, 5, 7.5], 2.5, '0 | 2.5 | 5.0 | 7.5'],
    [[0, 0.2, 0.4], 0.2, '0 | 0.2 | 0.4'],
    [[0, 0.25, 0.5], 0.25, '0 | 0.25 | 0.50'],
    [[0, 1000, 2000], 1000, '0 | 1,000 | 2,000'],
    [[0, 5000, 10000], 5000, '0 | 5K | 10K'],
    [[0, 500_000, 1_000_000], 500_000, '0 | 0.5M | 1.0M'],
  ])('of %j all have as many decimals', (splits, step, expected) => {
    expect(plain(numbers(splits, step))).toBe(expected)
  })

  it('are in one unit of time', () => {
    expect(plain(durations([0, 0.05, 0.1], 0.05))).toBe('0 | 50 ms | 100 ms')
    expect(plain(durations([0, 0.5, 1, 1.5], 0.5))).toBe('0 | 0.5 s | 1.0 s | 1.5 s')
    expect(plain(durations([0, 10, 20], 10))).toBe('0 | 10 s | 20 s')
  })

  it('are whole percents where the steps are', () => {
    expect(plain(shares([0, 0.2, 0.4], 0.2))).toBe('0 | 20% | 40%')
    expect(plain(shares([0, 0.005, 0.01], 0.005))).toBe('0 | 0.5% | 1.0%')
  })

  it('leave out halves of things', () => {
    expect(counts([0, 0.5, 1], 0.5)).toEqual(['0', '', '1'])
    expect(counts([0, 2, 4], 2)).toEqual(['0', '2', '4'])
  })
})
