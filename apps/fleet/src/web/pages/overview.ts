import { figureList, formatAge, formatBytes, formatDuration, Html, html } from '@gantry/programs';
import { planHealth } from '../../planner/health.ts';
import { isExport, subjectKey, subjectText } from '../../planner/job.ts';
import type { FleetJob } from '../../queue/records.ts';
import { failuresOf } from '../../view/failures.ts';
import type { Measured } from '../../view/figures.ts';
import { lateOf } from '../../view/late.ts';
import { limitText } from '../../view/limits.ts';
import { newestOf } from '../../view/newest.ts';
import { waitingOf } from '../../view/waiting.ts';
import { CLASSES, livePart, more, page, subjectLink, table, text, timeCell } from './layout.ts';

/** Rows of a table: more of them are not looked at, and a page is not to be many megabytes. */
const MAX_ROWS = 100;
/** Instances that one line names. */
const MAX_NAMED = 20;

/** The state of the fleet. @param search a part of the names of instances that are listed */
export function overviewPage(measured: Measured, search: string, problem: string | undefined): string {
  const { status, now } = measured;
  const late = lateOf(status.selected, measured.good, measured.maxAges, now);
  const ofAll = newestOf(status.jobs);
  const newest = ofAll.filter(isExport);
  const body = html`<p class="quiet" id="asked" data-live>${`State at ${now.toISOString().slice(0, 19).replace('T', ' ')} UTC`}</p>
    <div id="plan" data-live>${notices(measured, problem)}</div>
    <div id="figures" data-live>${figures(measured, newest, late.length)}</div>
    ${livePart('running', 'Running', running(measured))} ${livePart('waiting', 'Waiting', waiting(measured))}
    ${livePart('late', 'Late', latePart(late, measured))} ${livePart('failed', 'Failed', failed(ofAll))}
    ${livePart('findings', 'Missed', findings(measured))} ${livePart('stores', 'Stores', stores(ofAll))} ${instances(newest, search)}`;
  return page('Gantry fleet', body, { isLive: true });
}

function notices({ status }: Measured, problem: string | undefined): Html {
  const paused = status.paused.map((node) => (node === '*' ? 'all nodes are paused' : `${node} is paused`));
  const all = [...planHealth(status.turns).problems, ...(problem === undefined ? [] : [problem]), ...paused];
  return html`${all.slice(0, MAX_NAMED).map((each) => html`<p class="notice">${each}</p>`)} ${more(all.length, MAX_NAMED)}`;
}

function figures({ status, good }: Measured, newest: readonly FleetJob[], late: number): Html {
  const count = (state: FleetJob['state']): number => newest.filter((job) => job.state === state).length;
  const speed = status.jobs.reduce((sum, { state, output }) => sum + (state === 'running' ? (output.progress?.bytesPerSecond ?? 0) : 0), 0);
  const all: readonly (readonly [string, string])[] = [
    ['Instances', String(new Set([...newest, ...good].map(subjectKey)).size)],
    ['Running', String(count('running'))],
    ['Speed', `${formatBytes(speed)}/s`],
    ['Waiting', String(count('waiting'))],
    ['Done', String(count('done'))],
    ['Failed', String(count('failed'))],
    ['Late', String(late)],
    ['Nodes', String(status.nodes.length)],
  ];
  return figureList(all);
}

function running({ status, good, now }: Measured): Html {
  const jobs = status.jobs.filter(({ state }) => state === 'running').toSorted((a, b) => time(a.startedOn) - time(b.startedOn));
  if (jobs.length === 0) return html`<p>Nothing runs.</p>`;
  const sizes = new Map(good.map((each) => [subjectKey(each), each.plainBytes]));
  const rows = jobs.slice(0, MAX_ROWS).map((job) => {
    const { node, policy, startedOn, attempts, output } = job;
    const { readBytes, bytesPerSecond } = output.progress ?? {};
    return [
      subjectLink(job, `running-${job.id}`),
      text(node),
      text(startedOn === undefined ? '–' : formatDuration(now.getTime() - startedOn.getTime())),
      text(bytesPerSecond === undefined ? '–' : `${formatBytes(bytesPerSecond)}/s`),
      readBytes === undefined ? text('–') : progress(readBytes, sizes.get(subjectKey(job))),
      text(policy),
      text(String(attempts)),
    ];
  });
  const columns = [
    { heading: 'Instance' },
    { heading: 'Node' },
    { heading: 'For', isNumber: true },
    { heading: 'Speed', isNumber: true },
    { heading: 'Read' },
    { heading: 'Policy' },
    { heading: 'Attempt', isNumber: true },
  ];
  return html`${table('running-table', 'Exports that run', columns, rows)} ${more(jobs.length, MAX_ROWS)}`;
}

/** @param last what the last export read: this one reads about as much */
function progress(readBytes: number, last: number | undefined): Html {
  if (last === undefined || last === 0) return text(formatBytes(readBytes));
  const words = `${formatBytes(readBytes)} of about ${formatBytes(last)}`;
  return html`<progress value="${Math.min(readBytes, last)}" max="${last}" aria-label="${words}"></progress> ${words}`;
}

function waiting({ status, now }: Measured): Html {
  const groups = waitingOf(status, now);
  if (groups.length === 0) return html`<p>Nothing waits.</p>`;
  const rows = groups
    .slice(0, MAX_ROWS)
    .map(({ what, jobs }) => [text(what), text(String(jobs.length)), timeCell(jobs[0]?.startAfter), text(listOf(jobs.map(subjectText)))]);
  const columns = [{ heading: 'For' }, { heading: 'Exports', isNumber: true }, { heading: 'First (UTC)' }, { heading: 'Instances' }];
  const limits = status.limits.map((limit) => html`<li>${limitText(limit)}</li>`);
  const list = html`<p class="quiet">Limits of stores and network segments:</p>
    <ul>
      ${limits}
    </ul>`;
  return html`${table('waiting-table', 'What waits, and for what', columns, rows)} ${more(groups.length, MAX_ROWS)}
  ${limits.length === 0 ? '' : list}`;
}

function latePart(late: ReturnType<typeof lateOf>, { now, maxAges }: Measured): Html {
  if (maxAges.size === 0) return html`<p>No policy has a <code>max-age</code>.</p>`;
  if (late.length === 0) return html`<p class="good">Every instance has an export as young as its policy promises.</p>`;
  const rows = late
    .slice(0, MAX_ROWS)
    .map(({ policy, instance, lastGood, maxAgeMs }) => [
      subjectLink({ instance }, `late-${policy}-${instance}`),
      text(policy),
      lastGood === undefined ? html`<span class="bad">none is known</span>` : html`${formatAge(now.getTime() - lastGood.getTime())}`,
      text(formatAge(maxAgeMs)),
    ]);
  const columns = [
    { heading: 'Instance' },
    { heading: 'Policy' },
    { heading: 'Age of the last good export', isNumber: true },
    { heading: 'At most', isNumber: true },
  ];
  return html`${table('late-table', 'Instances that are late', columns, rows)} ${more(late.length, MAX_ROWS)}`;
}

function failed(newest: readonly FleetJob[]): Html {
  const failures = failuresOf(newest);
  if (failures.length === 0) return html`<p class="good">No export has failed.</p>`;
  const rows = failures
    .slice(0, MAX_ROWS)
    .map(({ code, message, subjects }) => [
      html`<span class="bad">${code}</span>`,
      text(String(subjects.length)),
      html`<span class="reason">${message}</span>`,
      html`${subjects.slice(0, MAX_NAMED).map((each) => subjectLink(each, `failed-${code}-${subjectText(each)}`))}
      ${more(subjects.length, MAX_NAMED)}`,
    ]);
  const columns = [{ heading: 'Cause' }, { heading: 'Exports', isNumber: true }, { heading: 'Why' }, { heading: 'Instances' }];
  return html`${table('failed-table', 'Exports that failed, by cause', columns, rows)} ${more(failures.length, MAX_ROWS)}`;
}

function findings({ status }: Measured): Html {
  const all = status.findings.toReversed();
  if (all.length === 0) return html`<p class="good">In the last two days, each instance had its turn in each window.</p>`;
  const rows = all
    .slice(0, MAX_ROWS)
    .map(({ kind, policy, instance, work, window, reason }) => [
      subjectLink({ instance, work }, `${kind}-${policy}-${instance}-${window.begin.getTime()}${work ?? ''}`),
      text(policy),
      timeCell(window.begin),
      html`<span class="reason">${reason}</span>`,
    ]);
  const columns = [{ heading: 'Instance' }, { heading: 'Policy' }, { heading: 'Window (UTC)' }, { heading: 'Why' }];
  return html`${table('findings-table', 'Windows that were missed', columns, rows)} ${more(all.length, MAX_ROWS)}`;
}

/** What followed exports at stores. */
function stores(newest: readonly FleetJob[]): Html {
  const found = newest.filter(({ work }) => work === 'store');
  if (found.length === 0) return html`<p>No store has a node that copies into it, verifies and prunes it.</p>`;
  const rows = found
    .slice(0, MAX_ROWS)
    .map((job) => [
      subjectLink(job, `store-${job.policy}-${job.instance}`),
      text(job.policy),
      html`<span class="${CLASSES[job.state]}">${job.state}</span>`,
      timeCell(job.endedOn ?? job.startedOn ?? job.startAfter),
      text(job.node),
      html`<span class="reason">${job.output.message ?? '–'}</span>`,
    ]);
  const columns = [
    { heading: 'Store' },
    { heading: 'Policy' },
    { heading: 'State' },
    { heading: 'Since (UTC)' },
    { heading: 'Node' },
    { heading: 'What was done' },
  ];
  return html`${table('stores-table', 'What followed exports at stores', columns, rows)} ${more(found.length, MAX_ROWS)}`;
}

function instances(newest: readonly FleetJob[], search: string): Html {
  const found = newest.filter(({ instance }) => instance.includes(search));
  const rows = found
    .slice(0, MAX_ROWS)
    .map(({ instance, policy, node, state, endedOn, startedOn, startAfter, output }) => [
      subjectLink({ instance }, `all-${policy}-${instance}`),
      html`<span class="${CLASSES[state]}">${state}</span>`,
      timeCell(endedOn ?? startedOn ?? startAfter),
      text(node),
      text(policy),
      text(output.reference?.split('@')[1] ?? '–'),
    ]);
  const columns = [
    { heading: 'Instance' },
    { heading: 'State' },
    { heading: 'Since (UTC)' },
    { heading: 'Node' },
    { heading: 'Policy' },
    { heading: 'Export' },
  ];
  const form = html`<form class="search" role="search" action="/" method="get">
    <div>
      <label for="q">Part of a name</label>
      <input id="q" name="q" type="search" value="${search}" />
    </div>
    <button>Find</button>
  </form>`;
  const listed = html`${table('instances-table', 'Instances', columns, rows)} ${more(found.length, MAX_ROWS)}`;
  return html`<section aria-labelledby="instances-heading">
    <h2 id="instances-heading">Instances</h2>
    ${form}
    <div id="instances" data-live>${found.length === 0 ? html`<p>There is none.</p>` : listed}</div>
  </section>`;
}

function time(date: Date | undefined): number {
  return date?.getTime() ?? 0;
}

function listOf(names: readonly string[]): string {
  const left = names.length - MAX_NAMED;
  return `${names.slice(0, MAX_NAMED).join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
}
