// Values of parsed JSON, which can be anything.

export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

/** The numbers among the values of these names. */
export function numbersOf<Name extends string>(
  names: readonly Name[],
  valueOf: (name: Name) => unknown,
): Partial<Record<Name, number>> {
  const numbers: Partial<Record<Name, number>> = {}
  for (const name of names) {
    const value = numberOf(valueOf(name))
    if (value !== null) numbers[name] = value
  }
  return numbers
}
