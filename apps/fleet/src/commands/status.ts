import { formatTable } from '@gantry/programs';
import type { Context } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import type { AttemptOutput } from '../queue/form.ts';
import type { FleetJob } from '../queue/records.ts';
import { subjectText } from '../planner/job.ts';
import { limitText } from '../view/limits.ts';
import { newestOf } from '../view/newest.ts';
import { askStatus } from './ask-status.ts';

/** Two nights: the one that runs, and the one before. */
const STATUS_DAYS = 2;

/** Runs `gantry-fleet status`: the newest export of each instance, and what nodes are paused. */
export async function runStatus(context: Context, options: QueueOptions): Promise<void> {
  const status = await askStatus(context, options, STATUS_DAYS);
  const jobs = newestOf(status.jobs);
  const lines = jobs.length === 0 ? ['no exports are planned'] : formatTable([HEADINGS, ...jobs.map(rowOf)]);
  const limits = status.limits.map(limitText);
  const paused = status.paused.map((node) => (node === '*' ? 'all nodes are paused' : `${node} is paused`));
  context.output.result({ operation: 'status', nodes: status.nodes, paused: status.paused, limits: status.limits, jobs }, [
    ...lines,
    ...limits,
    ...paused,
  ]);
}

const HEADINGS = ['POLICY', 'INSTANCE', 'NODE', 'STATE', 'ATTEMPTS', 'SINCE', 'RESULT'];

function rowOf(job: FleetJob): readonly string[] {
  const { policy, node, state, attempts, startAfter, startedOn, endedOn, output } = job;
  const since = state === 'waiting' ? startAfter : (endedOn ?? startedOn);
  return [policy, subjectText(job), node, state, String(attempts), since?.toISOString() ?? '-', resultOf(output)];
}

/** Of a restore, the disks that it would overwrite too: who consents to that has seen them here. */
function resultOf({ code, reference, message = '' }: AttemptOutput): string {
  if (code !== undefined) return `${code}: ${message}`;
  return [reference ?? '', message].filter((part) => part !== '').join(': ') || '-';
}
