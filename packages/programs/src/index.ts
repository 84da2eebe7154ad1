export { exitCodeOf } from './exit-code.ts';
export type { TableColumn } from './format.ts';
export { fittingTable, formatAge, formatBytes, formatDuration, formatTable } from './format.ts';
export { figureList, Html, html } from './html.ts';
export { PAGE_STYLE } from './page-style.ts';
export type { Figure, Sample } from './prometheus.ts';
export { prometheusText, writeTextfile } from './prometheus.ts';
export type { CaughtSignals } from './signals.ts';
export { catchSignals, InterruptedError } from './signals.ts';
