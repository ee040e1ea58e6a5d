// Light, dark, or whichever the system has.

import { onBeforeUnmount, onMounted, ref, watch } from 'vue'

import { loadChoice, open, saveChoice } from './lib/storage'

export const THEMES = ['auto', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

export function useTheme() {
  const store = open(() => window.localStorage)
  const system = window.matchMedia('(prefers-color-scheme: dark)')
  const theme = ref<Theme>(loadChoice(store, 'theme', THEMES))
  /** The theme that is shown now. */
  const shown = ref<'light' | 'dark'>('light')

  function apply(): void {
    shown.value = theme.value === 'auto' ? (system.matches ? 'dark' : 'light') : theme.value
    document.documentElement.dataset.bsTheme = shown.value
  }

  apply()
  watch(theme, (choice) => {
    saveChoice(store, 'theme', choice)
    apply()
  })
  onMounted(() => system.addEventListener('change', apply))
  onBeforeUnmount(() => system.removeEventListener('change', apply))
  return { theme, shown }
}
