import { describe, expect, it } from 'vitest'

import { count, duration, rate, share, span, UNKNOWN } from '../src/lib/format'

const plain = (text: string): string => text.replaceAll('\u202f', ' ')

describe('numbers', () => {
  it.each([
    [0, '0'],
    [0.004, '<0.01'],
    [1.234, '1.23'],
    [56.78, '56.8'],
    [1234.5, '1,235'],
    [456_789, '456.8K'],
    [null, UNKNOWN],
  ])('a second: %s is %s', (value, text) => {
    expect(rate(value)).toBe(text)
  })

  it.each([
    [0, '0 ms'],
    [0.0012, '1.2 ms'],
    [0.123, '123 ms'],
    [1.5, '1.50 s'],
    [42, '42.0 s'],
    [600, '600 s'],
    [null, UNKNOWN],
  ])('of seconds: %s is %s', (value, text) => {
    expect(plain(duration(value))).toBe(text)
  })

  it.each([
    [0, '0 s'],
    [59.9, '59 s'],
    [61, '1 min 1 s'],
    [3600, '1 h'],
    [90_061, '1 d 1 h'],
    [undefined, UNKNOWN],
  ])('for a while: %s is %s', (value, text) => {
    expect(plain(span(value))).toBe(text)
  })

  it('of things and shares', () => {
    expect([count(0), count(99_999), count(1_234_567), count(undefined)]).toEqual(['0', '99,999', '1.2M', UNKNOWN])
    expect([plain(share(0.256)), share(null)]).toEqual(['25.6%', UNKNOWN])
  })
})
