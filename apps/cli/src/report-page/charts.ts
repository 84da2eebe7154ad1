import { formatBytes, Html } from '@gantry/programs';
import { BarChart, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent } from 'echarts/components';
import type { EChartsCoreOption } from 'echarts/core';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Mark, Report, ReportedInstance, ReportedStore } from './model.ts';
import { markOf, MARKS, sumOf } from './model.ts';
import { ticksOf } from './ticks.ts';

/*
 * Charts as SVG, drawn here: the page needs no script. Colours are variables of the page, so that they follow its light and dark style.
 */

use([BarChart, GridComponent, LineChart, ScatterChart, SVGRenderer]);

/** Sizes of a chart in the page: a phone, and anything larger. */
export interface ChartSize {
  readonly width: number;
  /** For names at the left. */
  readonly labelWidth: number;
}

export const SIZES: Readonly<Record<'narrow' | 'wide', ChartSize>> = {
  narrow: { width: 340, labelWidth: 96 },
  wide: { width: 1000, labelWidth: 220 },
};

const ROW_HEIGHT = 26;
const AXIS_HEIGHT = 46;
const FONT = 12;
/** Of a time, with space to the next one. */
const LABEL_WIDTH = 60;
/** From the names to the charts. */
const GAP = 12;
const RIGHT = 16;
/** Marks that would cover each other are one. */
const MAX_MARKS_PER_ROW = 120;

const CIRCLE = 9;
/** Smaller ones are hard to tell from each other. */
const MIN_MARK = 5;
/** Half of it is outside of the mark. */
const BORDER = 2;

/** What ECharts draws for each mark; the page's legend has the same shapes. */
const SYMBOLS: Readonly<Record<Mark, { readonly symbol: string; readonly size: number; readonly isFilled: boolean }>> = {
  verified: { symbol: 'circle', size: CIRCLE, isFilled: true },
  unverified: { symbol: 'circle', size: CIRCLE, isFilled: false },
  damaged: { symbol: 'triangle', size: 12, isFilled: true },
  unfinished: { symbol: 'rect', size: CIRCLE, isFilled: false },
};

const TEXT = { color: 'var(--text)', fontSize: FONT, fontFamily: 'inherit' };
const LINES = { lineStyle: { color: 'var(--line)' } };

function draw(option: EChartsCoreOption, { width }: ChartSize, height: number): Html {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({ animation: false, useUTC: true, textStyle: TEXT, ...option });
    return new Html(chart.renderToSVGString());
  } finally {
    chart.dispose();
  }
}

/** Its own choice has a line at the first of each month, besides those of each second, fourth or seventh day. */
function timeAxis([min, max]: readonly [number, number], width: number): object {
  const { times, label } = ticksOf([min, max], Math.floor(width / LABEL_WIDTH));
  return {
    type: 'time',
    min,
    max,
    axisLabel: { ...TEXT, customValues: times, formatter: label },
    axisLine: LINES,
    axisTick: { ...LINES, customValues: times },
    splitLine: { show: true, ...LINES },
  };
}

const nameAxis = (names: readonly string[], { labelWidth }: ChartSize): object => ({
  type: 'category',
  data: names,
  inverse: true,
  axisLabel: { ...TEXT, interval: 0, width: labelWidth, overflow: 'truncate' },
  axisLine: LINES,
  axisTick: { show: false },
});

const grid = ({ labelWidth }: ChartSize, right = RIGHT): object => ({ left: labelWidth + GAP, right, top: 8, bottom: AXIS_HEIGHT - 8 });

/** Each instance a row, each export a mark at the time it began. */
export function timeline(instances: readonly ReportedInstance[], [from, to]: readonly [number, number], size: ChartSize): Html {
  const slot = (to - from) / MAX_MARKS_PER_ROW || 1;
  const width = size.width - size.labelWidth - GAP - RIGHT;
  const fits = Math.max(MIN_MARK, Math.floor(width / Math.max(1, ...instances.map(({ exports }) => exports.length))) - BORDER);
  const series = MARKS.map((mark) => {
    const { symbol, size: largest, isFilled } = SYMBOLS[mark];
    const symbolSize = Math.min(largest, fits + (largest - CIRCLE));
    const points = instances.flatMap(({ exports }, row) => {
      const times = exports.flatMap((each) => (markOf(each) === mark && each.started !== undefined ? each.started.getTime() : []));
      return [...new Map(times.map((time) => [Math.floor((time - from) / slot), time])).values()].map((time) => [time, row]);
    });
    const color = `var(--${mark})`;
    const itemStyle = { color: isFilled ? color : 'var(--page)', borderColor: color, borderWidth: BORDER, opacity: 1 };
    return { type: 'scatter', name: mark, symbol, symbolSize, itemStyle, data: points, silent: true, emphasis: { disabled: true } };
  });
  const option = {
    grid: grid(size),
    xAxis: timeAxis([from, to], width),
    yAxis: { ...nameAxis(labelsOf(instances), size), splitLine: { show: true, ...LINES } },
    series,
  };
  return draw(option, size, instances.length * ROW_HEIGHT + AXIS_HEIGHT);
}

/** What is stored, by the times at which the exports began that are there now: a line for each store. */
export function growth(stores: readonly ReportedStore[], [from, to]: readonly [number, number], size: ChartSize): Html {
  const series = stores.map(({ exports }, index) => ({
    type: 'line',
    step: 'end',
    symbol: 'none',
    data: [[from, 0], ...cumulated(exports), [to, sumOf(exports)]],
    lineStyle: { color: `var(--series${index % 4})`, width: 2, type: (['solid', 'dashed', 'dotted', [8, 3, 2, 3]] as const)[index % 4] },
    silent: true,
    emphasis: { disabled: true },
  }));
  const largest = Math.max(1, ...stores.map(({ exports }) => sumOf(exports)));
  // A power of two, as the units are.
  const interval = 2 ** Math.ceil(Math.log2(largest / 4));
  const yAxis = {
    type: 'value',
    interval,
    max: Math.ceil(largest / interval) * interval,
    axisLabel: { ...TEXT, formatter: (bytes: number) => formatBytes(bytes) },
    splitLine: { show: true, ...LINES },
  };
  const left = 84;
  return draw({ grid: { ...grid(size), left }, xAxis: timeAxis([from, to], size.width - left - RIGHT), yAxis, series }, size, 240);
}

function cumulated(exports: ReportedStore['exports']): readonly (readonly [number, number])[] {
  let sum = 0;
  return exports
    .flatMap(({ started, storedBytes = 0 }) => (started === undefined ? [] : [[started.getTime(), storedBytes] as const]))
    .toSorted((a, b) => a[0] - b[0])
    .map(([time, bytes]) => [time, (sum += bytes)] as const);
}

/** What each instance takes in the store, the largest first. */
export function sizes(instances: readonly ReportedInstance[], size: ChartSize): Html {
  const series = {
    type: 'bar',
    data: instances.map(({ storedBytes }) => storedBytes),
    barMaxWidth: 14,
    itemStyle: { color: 'var(--series0)' },
    label: { show: true, position: 'right', ...TEXT, formatter: ({ value }: { readonly value: number }) => formatBytes(value) },
    silent: true,
    emphasis: { disabled: true },
  };
  const xAxis = { type: 'value', show: false };
  const option = { grid: { ...grid(size, 84), bottom: 4 }, xAxis, yAxis: nameAxis(labelsOf(instances), size), series: [series] };
  return draw(option, size, instances.length * ROW_HEIGHT + 12);
}

/** Names without the domain that all have, and the store where there are several. */
function labelsOf(instances: readonly ReportedInstance[]): readonly string[] {
  const domains = new Set(instances.map(({ name }) => name.replace(/^[^.]*/, '')));
  const stores = [...new Set(instances.map(({ store }) => store))];
  const short = stores.map((store) => store.replace(/^.*\/(?=.)/, ''));
  const shown = new Set(short).size === stores.length ? short : stores;
  return instances.map(({ name, store }) => {
    const own = domains.size === 1 ? name.replace(/\..*/, '') : name;
    return stores.length < 2 ? own : `${own} (${shown[stores.indexOf(store)] ?? store})`;
  });
}

/** From the first export until now. */
export function rangeOf({ stores, now }: Report): readonly [number, number] {
  const times = stores.flatMap(({ exports }) => exports.flatMap(({ started }) => started?.getTime() ?? []));
  const first = times.reduce((least, time) => Math.min(least, time), now.getTime() - 24 * 3_600_000);
  // What is stored before the day began would be at the very edge.
  const margin = (now.getTime() - first) / 50;
  return [first - margin, now.getTime() + margin];
}
