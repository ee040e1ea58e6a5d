// Numbers with their units, as short as they can be and no shorter.

const THIN = '\u202f'
export const UNKNOWN = '–'

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** A whole number of things. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN
  return Math.abs(value) < 100_000 ? grouped.format(value) : compact.format(value)
}

/** A number a second, without the unit. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN
  if (value === 0) return '0'
  if (value < 0.01) return '<0.01'
  if (value < 10) return value.toFixed(2)
  return value < 100 ? value.toFixed(1) : count(value)
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return UNKNOWN
  if (seconds === 0) return `0${THIN}ms`
  const ms = 1000 * seconds
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)}${THIN}ms`
  return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(seconds < 100 ? 1 : 0)}${THIN}s`
}

export function share(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : `${(100 * value).toFixed(1)}%`
}

/** How long something has lasted: two units at most. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return UNKNOWN
  const whole = Math.max(0, Math.floor(seconds))
  const units = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ] as const
  const first = units.findIndex(([number]) => number > 0)
  if (first < 0) return `0${THIN}s`
  return units
    .slice(first, first + 2)
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number}${THIN}${unit}`)
    .join(' ')
}

/** The time of day, here. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB')
}
