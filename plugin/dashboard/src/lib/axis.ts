// The labels of an axis: all in one unit, and with as many decimals as the step between them needs.

import { UNKNOWN } from './format'

const THIN = '\u202f'

/** Labels of the values `splits`, which are `step` apart. */
export type Axis = (splits: readonly number[], step: number) => string[]

const MOST_DECIMALS = 6
const UNITS = [
  [1e9, 'B'],
  [1e6, 'M'],
  [1e4, 'K'],
] as const

/** Of rates and other numbers; large ones in thousands, millions or billions. */
export const numbers: Axis = (splits, step) => {
  const greatest = Math.max(...splits)
  const letter = UNITS.find(([from]) => greatest >= from)?.[1] ?? ''
  const scale = { B: 1e9, M: 1e6, K: 1e3, '': 1 }[letter]
  return labels(splits, step, scale, letter)
}

/** Of things: there is no half of one. */
export const counts: Axis = (splits, step) =>
  numbers(splits, Math.max(1, step)).map((label, place) => (Number.isInteger(splits[place]) ? label : ''))

/** Of seconds, in milliseconds where all are below a second. */
export const durations: Axis = (splits, step) =>
  Math.max(...splits) >= 1 ? labels(splits, step, 1, `${THIN}s`) : labels(splits, step, 0.001, `${THIN}ms`)

/** Of shares of one, in percent. */
export const shares: Axis = (splits, step) => labels(splits, step, 0.01, '%')

function labels(splits: readonly number[], step: number, scale: number, unit: string): string[] {
  const digits = decimalsOf(step / scale)
  const format = new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return splits.map((value) =>
    value === 0 ? '0' : Number.isFinite(value) ? format.format(value / scale) + unit : UNKNOWN,
  )
}

/** How many decimals a multiple of `step` has. */
function decimalsOf(step: number): number {
  for (let digits = 0; digits < MOST_DECIMALS; digits++) {
    const shifted = step * 10 ** digits
    if (Math.abs(shifted - Math.round(shifted)) < 1e-6 * shifted) return digits
  }
  return MOST_DECIMALS
}
