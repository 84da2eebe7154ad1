import type { Figure, Sample } from '@gantry/programs';
import type { FleetStatus } from '../control/requests.ts';
import { planHealth } from '../planner/health.ts';
import { isExport, subjectKey } from '../planner/job.ts';
import type { FleetJob, LastGood } from '../queue/records.ts';
import type { Selected } from '../queue/selected.ts';
import { countsFrom } from './late.ts';
import { newestOf } from './newest.ts';
import { waitingOf } from './waiting.ts';

/** What figures are made from. */
export interface Measured {
  /** Of the last two days. */
  readonly status: FleetStatus;
  readonly good: readonly LastGood[];
  /** Of policies that have one, ms. */
  readonly maxAges: ReadonlyMap<string, number>;
  readonly now: Date;
}

/** The figures of a fleet; its state at this moment, so all are gauges. */
export function figuresOf({ status, good, maxAges, now }: Measured): readonly Figure[] {
  const { ageSeconds, problems } = planHealth(status.turns);
  const ofAll = newestOf(status.jobs);
  const newest = ofAll.filter(isExport);
  const waiting = [...Map.groupBy(waitingOf(status, now), ({ kind }) => kind)];
  const all: readonly Figure[] = [
    figure('gantry_fleet_plan_age_seconds', 'How long ago the last plan was made.', ageSeconds === undefined ? [] : [one(ageSeconds)]),
    figure('gantry_fleet_plan_problems', 'What is not planned: sources, instances and hosts, or all.', [one(problems.length)]),
    figure(
      'gantry_fleet_exports',
      'Instances by the state of their newest export of the last two days.',
      counts(newest, ({ policy, state }) => ({ policy, state })),
    ),
    ...figuresOfWork(ofAll),
    figure(
      'gantry_fleet_running',
      'Exports, restores and work at stores that run on a node.',
      status.nodes.map((node) => one(status.jobs.filter((job) => job.node === node && job.state === 'running').length, { node })),
    ),
    figure(
      'gantry_fleet_waiting',
      'Exports, restores and work at stores that wait, by what for: their time, their next attempt, a store, a free place, or a node that is paused.',
      waiting.map(([kind, groups]) => one(groups.flatMap(({ jobs }) => jobs).length, { for: kind })),
    ),
    figure(
      'gantry_fleet_store_limit',
      'How many exports at once may be written into a store.',
      status.limits.map(({ store, atOnce }) => one(atOnce, { store })),
    ),
    figure(
      'gantry_fleet_store_held',
      'How many exports hold a place of a store that has a limit.',
      status.limits.map(({ store, held }) => one(held, { store })),
    ),
    figure(
      'gantry_fleet_node_paused',
      '1 if nothing begins on a node, else 0.',
      status.nodes.map((node) => one(Number(status.paused.some((each) => each === '*' || each === node)), { node })),
    ),
    figure(
      'gantry_fleet_findings',
      'Windows of the last two days in which an instance had no turn (missed), or an earlier export still ran (overrun).',
      counts(status.findings, ({ policy, kind }) => ({ policy, kind })),
    ),
    figure(
      'gantry_fleet_export_failed',
      '1 if the newest export of the instance failed, else 0.',
      newest.map(({ policy, instance, state }) => one(Number(state === 'failed'), { policy, instance })),
    ),
    figure(
      'gantry_fleet_export_timestamp_seconds',
      'When the last good export of the instance ended, or when the policy selected it if the fleet knows of none: seconds since 1970.',
      endTimes(status.selected, good),
    ),
    figure(
      'gantry_fleet_policy_max_age_seconds',
      'How old the last good export of an instance may be.',
      [...maxAges].map(([policy, ms]) => one(ms / 1000, { policy })),
    ),
  ];
  return all.filter(({ samples }) => samples.length > 0);
}

/** Of what is done beside exports. */
function figuresOfWork(newest: readonly FleetJob[]): readonly Figure[] {
  return [
    figure(
      'gantry_fleet_store_work',
      'Stores of policies by the state of what followed the newest exports there: copies, or verification and retention.',
      newest.filter(({ work }) => work === 'store').map(({ policy, instance: store, state }) => one(1, { policy, store, state })),
    ),
    figure(
      'gantry_fleet_restores',
      'Instances by the state of their newest restore of the last two days, without dry runs.',
      counts(
        newest.filter(({ work, dryRun }) => work === 'restore' && dryRun !== true),
        ({ policy, state }) => ({ policy, state }),
      ),
    ),
  ];
}

/** Of what policies select: an instance that was removed is not waited for. */
function endTimes(selected: readonly Selected[], good: readonly LastGood[]): readonly Sample[] {
  const known = new Map(good.map((each) => [subjectKey(each), each.endedOn]));
  return selected.map(({ policy, instance, since }) => {
    const from = countsFrom({ since }, known.get(subjectKey({ policy, instance })));
    return one(from.getTime() / 1000, { policy, instance });
  });
}

function figure(name: string, help: string, samples: readonly Sample[]): Figure {
  return { name, unit: name.endsWith('_seconds') ? 'seconds' : '', help, samples };
}

function one(value: number, labels: Sample['labels'] = {}): Sample {
  return { labels, value };
}

function counts<T>(all: readonly T[], labelsOf: (each: T) => Sample['labels']): readonly Sample[] {
  const groups = Map.groupBy(all, (each) => JSON.stringify(labelsOf(each)));
  return [...groups.values()].flatMap((own) => (own[0] === undefined ? [] : [one(own.length, labelsOf(own[0]))]));
}
