import 'bootstrap/dist/css/bootstrap.min.css'
import 'uplot/dist/uPlot.min.css'
import './styles/page.css'
import './styles/bar.css'
import './styles/cards.css'
import './styles/charts.css'
import './styles/lists.css'
import './styles/dialog.css'

import { createApp } from 'vue'

import App from './App.vue'

createApp(App).mount('#app')
