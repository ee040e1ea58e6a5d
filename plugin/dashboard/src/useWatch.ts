// The state of the page: which server, with which key, what is known of it; and the clockwork that keeps that new.

import { computed, onBeforeUnmount, onMounted, ref, shallowRef, triggerRef, watch } from 'vue'

import { defaultServer, isOtherOrigin, searchFor, serverOf } from './lib/address'
import { ask, askPast, type Fetch, type Question } from './lib/ask'
import type { Range } from './lib/history'
import { Poller } from './lib/poller'
import { loadChoice, loadHistory, loadKey, open, saveChoice, saveHistory, saveKey } from './lib/storage'
import { Watch } from './lib/watch'

const SAVE_MS = 30_000
const RANGES: readonly Range[] = ['hour', 'halfDay']

export function useWatch() {
  const lasting = open(() => window.localStorage)
  const passing = open(() => window.sessionStorage)

  const start = serverOf(window.location)
  const server = ref(start.server)
  const key = ref(loadKey(passing, start.server))
  const faultOfAddress = ref(start.fault)
  const isOther = computed(() => isOtherOrigin(window.location, server.value))
  const state = shallowRef(begin(start.server))
  const range = ref(loadChoice(lasting, 'range', RANGES))
  /** Each second, while somebody looks. */
  const now = ref(Date.now())
  const isKept = ref(true)

  function begin(name: string): Watch {
    const fresh = new Watch()
    fresh.events = loadHistory(lasting, name, fresh.history, Date.now())
    return fresh
  }

  const fetch: Fetch = (url, init) => window.fetch(url, init)
  const question = (): Question => ({ server: server.value, key: key.value, isOtherOrigin: isOther.value })
  const ending = new AbortController()

  /** Ask for what happened before; the answer is of no use if the page watches another server by then. */
  async function fillPast(watch: Watch): Promise<void> {
    const past = await askPast(question(), fetch, ending.signal, Date.now)
    if (past === null || state.value !== watch) return
    watch.fill(past)
    triggerRef(state)
  }

  const poller = new Poller(
    (signal) => ask(question(), fetch, signal, Date.now),
    (outcome) => {
      const before = state.value.outcome?.kind
      now.value = Date.now()
      state.value.take(outcome, now.value)
      if (outcome.kind === 'reading' && state.value.lacksPast) void fillPast(state.value)
      // The title tells of a change even where nobody sees the page.
      if (!document.hidden || outcome.kind !== before) triggerRef(state)
    },
    { setTimeout: (call, ms) => window.setTimeout(call, ms), clearTimeout: (timer) => window.clearTimeout(timer) },
  )

  function save(): void {
    if (state.value.reading === null) return // nothing has come since the page was opened
    isKept.value = saveHistory(lasting, server.value, state.value.history, state.value.events, Date.now())
  }

  /** Ask this server, with this key, from now on. */
  function connect(newServer: string, newKey: string): void {
    save()
    faultOfAddress.value = null
    const keyForIt = newKey || (newServer === server.value ? '' : loadKey(passing, newServer))
    if (newServer !== server.value) {
      server.value = newServer
      state.value = begin(newServer)
      window.history.replaceState(
        null,
        '',
        (searchFor(window.location, newServer) || window.location.pathname) + window.location.hash,
      )
    }
    key.value = keyForIt
    saveKey(passing, newServer, keyForIt)
    poller.askNow()
  }

  watch(range, (choice) => saveChoice(lasting, 'range', choice))

  let timers: number[] = []
  const onVisible = (): void => {
    if (document.hidden) return save()
    now.value = Date.now()
    triggerRef(state)
    poller.hurry()
  }
  const onOnline = (): void => poller.hurry()

  onMounted(() => {
    poller.askNow()
    timers = [
      window.setInterval(() => {
        if (!document.hidden) now.value = Date.now()
      }, 1000),
      window.setInterval(save, SAVE_MS),
    ]
    document.addEventListener('visibilitychange', onVisible)
    window.addEventListener('pagehide', save)
    window.addEventListener('online', onOnline)
  })
  onBeforeUnmount(() => {
    poller.stop()
    ending.abort()
    timers.forEach((timer) => window.clearInterval(timer))
    document.removeEventListener('visibilitychange', onVisible)
    window.removeEventListener('pagehide', save)
    window.removeEventListener('online', onOnline)
    save()
  })

  return {
    server,
    key,
    faultOfAddress,
    isOther,
    state,
    range,
    now,
    isKept,
    connect,
    usualServer: defaultServer(window.location),
    askNow: () => poller.askNow(),
  }
}
