// Asks again and again, one question at a time, and less often while there is no answer.

import type { Outcome } from './ask'

export const INTERVAL_MS = 2_000
export const MAX_INTERVAL_MS = 16_000

/** How long to wait after so many failures in a row. */
export function pauseAfter(failures: number): number {
  return Math.min(MAX_INTERVAL_MS, INTERVAL_MS * 2 ** Math.max(0, failures - 1))
}

export interface Clockwork {
  setTimeout: (call: () => void, ms: number) => number
  clearTimeout: (timer: number) => void
}

export class Poller {
  private failures = 0
  private timer: number | null = null
  private asking: AbortController | null = null

  /** `tell` is told each outcome but those that were given up. An `ask` that fails has one, too: the clock goes on. */
  constructor(
    private readonly ask: (signal: AbortSignal) => Promise<Outcome>,
    private readonly tell: (outcome: Outcome) => void,
    private readonly clockwork: Clockwork,
  ) {}

  /** Ask now, even if a question is on its way: for another server or key, or because it may answer again. */
  askNow(): void {
    this.stop()
    this.failures = 0
    void this.poll()
  }

  /** Ask now unless a question is on its way. */
  hurry(): void {
    if (this.asking === null) this.askNow()
  }

  stop(): void {
    if (this.timer !== null) this.clockwork.clearTimeout(this.timer)
    this.timer = null
    this.asking?.abort()
    this.asking = null
  }

  private async poll(): Promise<void> {
    const asking = new AbortController()
    this.asking = asking
    const outcome = await this.outcomeOf(asking.signal)
    if (asking.signal.aborted) return
    this.asking = null
    this.failures = outcome.kind === 'reading' ? 0 : this.failures + 1
    this.timer = this.clockwork.setTimeout(() => void this.poll(), pauseAfter(this.failures))
    this.tell(outcome)
  }

  private async outcomeOf(signal: AbortSignal): Promise<Outcome> {
    try {
      return await this.ask(signal)
    } catch (error) {
      return { kind: 'stranger', reason: `cannot read its response (${String(error)})` }
    }
  }
}
