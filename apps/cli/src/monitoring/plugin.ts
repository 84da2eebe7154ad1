import { terminalSafe } from '@gantry/core';
import { formatAge } from '@gantry/programs';
import type { InstanceStatus, PolicyStatus } from './policy-status.ts';

/** The states of monitoring plugins, with their exit codes (monitoring-plugins.org, "Development Guidelines"). */
export const PLUGIN_STATES = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const;

export type PluginState = keyof typeof PLUGIN_STATES;

/** A longer line is cut off by some. */
const MAX_NAMED = 3;

/** What a monitoring plugin prints: one line, with figures after a bar. */
export interface PluginOutput {
  readonly state: PluginState;
  readonly line: string;
}

/**
 * Late and missing exports are critical; a later export that is damaged or refused is a warning; what cannot be asked is unknown, and so is what is
 * late, where the policy does not say it.
 */
export function pluginOutput(policies: readonly PolicyStatus[]): PluginOutput {
  const all = policies.flatMap(({ instances, maxAgeMs }) => instances.map((status) => ({ status, maxAgeMs })));
  const problems = policies.flatMap((policy) => policy.problems);
  const bad = all.filter(({ status }) => status.state === 'late' || status.state === 'missing');
  const damaged = all.flatMap(({ status }) => status.damaged.map((reference) => `${reference} in ${status.store} is damaged`));
  const refused = all.flatMap(({ status }) => status.refused.map(({ reference }) => `${reference} in ${status.store} is refused`));
  const odd = [...damaged, ...refused];
  const unknown = [
    ...policies.flatMap(({ policy, maxAgeMs }) => (maxAgeMs === undefined ? [`policy ${policy} has no max-age`] : [])),
    ...problems,
    ...new Set(all.flatMap(({ status }) => (status.state === 'unknown' ? [`${status.store}: ${status.reason ?? ''}`] : []))),
  ];
  const state = bad.length > 0 ? 'CRITICAL' : odd.length > 0 ? 'WARNING' : unknown.length > 0 || all.length === 0 ? 'UNKNOWN' : 'OK';
  const details = [...bad.map(({ status, maxAgeMs }) => describeBad(status, maxAgeMs)), ...odd, ...unknown];
  const summary =
    details.length === 0 ? (all.length === 0 ? 'no instances' : `${countOf(all.length, 'export')} as promised`) : some(details);
  return { state, line: withFigures(`GANTRY ${state} - ${summary}`, all) };
}

/** For a failure before anything could be asked. */
export function pluginFailure(message: string): PluginOutput {
  return { state: 'UNKNOWN', line: clean(`GANTRY UNKNOWN - ${message}`) };
}

function describeBad({ instance, store, good }: InstanceStatus, maxAgeMs: number | undefined): string {
  if (good === undefined) return `${instance} has no good export in ${store}`;
  return `${instance} in ${store} is ${formatAge(good.ageMs)} old (at most ${formatAge(maxAgeMs ?? 0)})`;
}

function some(details: readonly string[]): string {
  const more = details.length - MAX_NAMED;
  return [...details.slice(0, MAX_NAMED), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

interface Judged {
  readonly status: InstanceStatus;
  readonly maxAgeMs: number | undefined;
}

/** Figures as `label=value[unit];warning;critical;minimum`. */
function withFigures(text: string, all: readonly Judged[]): string {
  const count = (state: InstanceStatus['state']): number => all.filter(({ status }) => status.state === state).length;
  const ages = all.flatMap(({ status: { good }, maxAgeMs }) => (good === undefined ? [] : [{ age: good.ageMs, maxAgeMs }]));
  const oldest = ages.toSorted((a, b) => b.age - a.age)[0];
  const limits = ages.flatMap(({ maxAgeMs }) => maxAgeMs ?? []);
  const age = oldest === undefined ? [] : [`oldest=${seconds(oldest.age)}s;;${limits.length === 0 ? '' : seconds(Math.min(...limits))};0`];
  const figures = [
    `exports=${all.length};;;0`,
    `late=${count('late')};;0;0`,
    `missing=${count('missing')};;0;0`,
    `unknown=${count('unknown')};;;0`,
    ...age,
  ];
  return `${clean(text)} | ${figures.join(' ')}`;
}

/** A bar would begin the figures. */
function clean(text: string): string {
  return terminalSafe(text).replaceAll('|', '/');
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
