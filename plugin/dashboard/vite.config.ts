import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { viteSingleFile } from 'vite-plugin-singlefile'
import { defineConfig } from 'vitest/config'

import { digestOfSources } from './sources.ts'

/** Says in the page what it was made from. */
function stamp(): Plugin {
  return {
    name: 'stamp',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { name: 'sources', content: digestOfSources(import.meta.dirname) }, injectTo: 'head' },
    ],
  }
}

export default defineConfig({
  plugins: [vue(), stamp(), viteSingleFile({ removeViteModuleLoader: true })],
  define: { __VUE_OPTIONS_API__: 'false' },
  build: { target: 'es2022', reportCompressedSize: false },
  test: { include: ['tests/**/*.test.ts'] },
})
