import process from 'node:process';
import { ALL_VARIANTS } from '@gantry/testkit';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DAY_MS } from '../days.ts';
import type { PlannedJob } from './job.ts';
import { jobId, MAX_PLANNED_PRIORITY, priorityOf, startIn } from './job.ts';
import type { FleetPlan, KnownJob, KnownState, PlacedInstance, PlacedSubject, PlanInput } from './plan.ts';
import { planFleet } from './plan.ts';

const NIGHT = { from: 22 * 60, to: 6 * 60, atEnd: 'finish' as const };
const NIGHTLY = { name: 'nightly', window: NIGHT };
const WEB1: PlacedInstance = { policy: 'nightly', instance: 'web1', node: 'n1' };
const BEGIN = new Date('2026-11-27T22:00:00Z');
const END = new Date('2026-11-28T06:00:00Z');
const MIDNIGHT = new Date('2026-11-28T00:00:00Z');

const zone = process.env['TZ'];
beforeEach(() => {
  process.env['TZ'] = 'UTC';
});
afterEach(() => {
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

function plan(fields: Partial<PlanInput> = {}): FleetPlan {
  return planFleet({ policies: [NIGHTLY], instances: [WEB1], known: [], now: MIDNIGHT, ...fields });
}

/** The export of the night that began `days` days before {@link BEGIN}. */
function known(state: KnownState, { days = 0, node = 'n1', ...more }: Partial<KnownJob> & { readonly days?: number } = {}): KnownJob {
  const begin = new Date(BEGIN.getTime() - days * DAY_MS);
  const end = new Date(END.getTime() - days * DAY_MS);
  return { policy: 'nightly', instance: 'web1', node, id: jobId(WEB1, begin), begin, end, state, ...more };
}

function knownOf({ id, policy, instance, work, window: { begin, end } }: PlannedJob, node: string, state: KnownState): KnownJob {
  return { id, policy, instance, work, node, begin, end, state };
}

/** What is known when a plan has been carried out, and nothing has started. */
function carriedOut({ add, drop, fail }: FleetPlan, known: readonly KnownJob[]): readonly KnownJob[] {
  const before = known.map((each) => (fail.includes(each) ? { ...each, state: 'failed' as const, lastAttempt: undefined } : each));
  const dropped = new Set(drop.map(({ id, node }) => `${id} ${node}`));
  const added = add.map((job) => knownOf(job, job.node, 'waiting'));
  const addedHere = new Set(added.map(({ id, node }) => `${id} ${node}`));
  const kept = before.filter(({ id, node }) => !addedHere.has(`${id} ${node}`));
  const isDropped = ({ id, node }: KnownJob): boolean => dropped.has(`${id} ${node}`);
  const lost = drop.map((each) => Object.assign({}, each, { state: 'lost' as const }));
  return [...kept.filter((each) => !isDropped(each)), ...lost.filter(({ id, node }) => !addedHere.has(`${id} ${node}`)), ...added];
}

describe('a store, after the exports of a window', () => {
  const VAULT: PlacedSubject = { policy: 'nightly', instance: 'vault', work: 'store', node: 'v1' };
  const NEXT = new Date(BEGIN.getTime() + DAY_MS);
  const at = (hours: number): Date => new Date(END.getTime() + hours * 3_600_000);
  const planVault = (now: Date, all: readonly KnownJob[] = [], stores = [VAULT]): FleetPlan =>
    plan({ instances: [], stores, known: all, now });

  test('is worked on once, from the end of the window to the beginning of the next one', () => {
    expect(planVault(MIDNIGHT).add).toEqual([]);
    const { add } = planVault(at(1));
    expect(add).toEqual([
      { ...VAULT, id: jobId(VAULT, END), window: { begin: END, end: NEXT }, startAfter: END, priority: 0, since: BEGIN },
    ]);
    expect(add[0]?.id).not.toBe(jobId({ policy: 'nightly', instance: 'vault' }, END));
    for (const state of ['waiting', 'running', 'done', 'failed', 'cancelled'] as const)
      expect(
        planVault(
          at(1),
          add.map((job) => knownOf(job, 'v1', state)),
        ),
      ).toMatchObject({ add: [], drop: [], findings: [] });
    expect(
      planVault(
        at(1),
        add.map((job) => knownOf(job, 'v1', 'lost')),
      ).add,
    ).toEqual(add);
  });

  test('waits for exports of the window that still run, for some hours', () => {
    const others = [known('running', { days: 1 }), { ...known('running'), policy: 'weekly' }, known('waiting')];
    expect(planVault(at(1), others).add).toHaveLength(1);
    expect(planVault(at(1), [known('running')]).add).toEqual([]);
    expect(planVault(at(5), [known('running')]).add).toEqual([]);
    // Also after another time was configured.
    expect(planVault(at(5), [known('running', { begin: new Date(BEGIN.getTime() - 3_600_000) })]).add).toEqual([]);
    expect(planVault(at(6), [known('running')]).add).toHaveLength(1);
  });

  test('moves with its node; work that still runs is followed by no second one, and what had no turn is missed', () => {
    const { add } = planVault(at(1));
    const waiting = add.map((job) => knownOf(job, 'v1', 'waiting'));
    expect(planVault(at(1), waiting, [{ ...VAULT, node: 'v2' }])).toMatchObject({ add: [{ node: 'v2' }], drop: waiting });
    const running = add.map((job) => Object.assign(knownOf(job, 'v1', 'running'), { startedOn: at(0) }));
    expect(planVault(at(25), running)).toMatchObject({
      add: [],
      findings: [{ kind: 'overrun', ...VAULT, reason: `what followed the window that ended at ${END.toISOString()} still runs on v1` }],
    });
    expect(planVault(at(17), waiting)).toMatchObject({ add: [], drop: waiting, findings: [{ kind: 'missed', ...VAULT }] });
    const done = running.map((each) => Object.assign({}, each, { state: 'done' as const, endedOn: at(2) }));
    expect(planVault(at(17), done)).toMatchObject({ add: [], findings: [] });
  });
});

describe('in its window, an instance', () => {
  test('gets one export, on its node, which begins at its place in the first half of the window', () => {
    const { add, drop, findings } = plan();
    expect(add).toMatchObject([{ policy: 'nightly', instance: 'web1', node: 'n1', window: { begin: BEGIN, end: END } }]);
    expect(add[0]?.id).toBe(jobId(WEB1, BEGIN));
    expect(add[0]?.startAfter).toEqual(startIn({ begin: BEGIN, end: END }, WEB1, 0.5));
    expect([drop, findings]).toEqual([[], []]);
  });

  test.each(['waiting', 'running', 'done', 'failed', 'cancelled', 'left', 'elsewhere'] as const)(
    'whose export is %s gets no other one',
    (state) => {
      expect(plan({ known: [known(state)] })).toMatchObject({ add: [], drop: [], findings: [] });
    },
  );

  test('whose export was lost from the queue gets it again', () => {
    expect(plan({ known: [known('lost')] }).add).toHaveLength(1);
  });

  test('that has moved to another node is exported there, if its export has not started', () => {
    const waiting = known('waiting', { node: 'n2' });
    expect(plan({ known: [waiting] })).toMatchObject({ add: [{ node: 'n1' }], drop: [waiting] });
    for (const state of ['running', 'done', 'failed', 'cancelled'] as const)
      expect(plan({ known: [known(state, { node: 'n2' })] })).toMatchObject({ add: [], drop: [] });
    expect(plan({ known: [known('elsewhere', { node: 'n2' })] }).add).toMatchObject([{ node: 'n1' }]);
  });

  test('that is planned on two nodes waits on its own alone', () => {
    const other = known('waiting', { node: 'n2' });
    expect(plan({ known: [other, known('waiting')] })).toMatchObject({ add: [], drop: [other] });
  });

  test('whose export of the night before still runs gets no second one: that is recorded, and added when it has ended', () => {
    const running = known('running', { days: 1 });
    const { add, findings } = plan({ known: [running] });
    expect(add).toEqual([]);
    expect(findings).toMatchObject([
      {
        kind: 'overrun',
        id: jobId(WEB1, BEGIN),
        reason: 'the export of the window that began at 2026-11-26T22:00:00.000Z still runs on n1',
      },
    ]);
    expect(plan({ known: [{ ...running, state: 'done' }] }).add).toHaveLength(1);
    // On a node that it has left, an export holds up its own window alone.
    expect(plan({ known: [{ ...running, node: 'n2' }] })).toMatchObject({ add: [{ node: 'n1' }], findings: [] });
    expect(plan({ known: [known('running', { node: 'n2' })] })).toMatchObject({ add: [], findings: [] });
  });
});

describe('a window that passed', () => {
  const noon = new Date('2026-11-28T12:00:00Z');

  test.each([
    ['waiting', 'its turn did not come before the window ended'],
    ['left', 'its turn did not come before the window ended'],
    ['elsewhere', 'its disks were on another node than its source said'],
    ['lost', 'it was lost from the queue'],
  ] as const)('with an export that is %s was missed', (state, reason) => {
    const { findings, drop, add } = plan({ now: noon, known: [known(state)] });
    expect(findings).toMatchObject([{ kind: 'missed', id: jobId(WEB1, BEGIN), window: { begin: BEGIN, end: END }, reason }]);
    expect(drop).toHaveLength(state === 'waiting' ? 1 : 0);
    expect(add).toEqual([]);
  });

  test('with an export that failed and waits for its next attempt has failed, and keeps what it failed with', () => {
    const waiting = known('waiting', { lastAttempt: 'failed' });
    expect(plan({ now: noon, known: [waiting] })).toMatchObject({ add: [], drop: [], fail: [waiting], findings: [] });
    expect(plan({ known: [waiting] })).toMatchObject({ add: [], drop: [], fail: [] });
  });

  test('with an export whose agent gives no sign stays, and was missed after an hour', () => {
    const silent = known('waiting', { lastAttempt: 'silent' });
    const at = (now: string): FleetPlan => plan({ now: new Date(now), known: [silent] });
    expect(at('2026-11-28T06:59:59Z')).toMatchObject({ drop: [], fail: [], findings: [] });
    const reason = 'it began, and its agent has given no sign since';
    expect(at('2026-11-28T07:00:00Z')).toMatchObject({ drop: [], fail: [], findings: [{ kind: 'missed', reason }] });
  });

  test.each([undefined, 'failed', 'silent'] as const)(
    'leaves an export alone that a user has tried again (last attempt: %s)',
    (lastAttempt) => {
      const redriven = known('waiting', { redriven: true, lastAttempt });
      expect(plan({ now: noon, known: [redriven] })).toMatchObject({ add: [], drop: [], fail: [], findings: [] });
    },
  );

  test('in the whole of which an export of the window before ran was not missed', () => {
    const startedOn = new Date('2026-11-27T04:00:00Z');
    const long = known('done', { days: 1, startedOn, endedOn: new Date('2026-11-28T07:00:00Z') });
    expect(plan({ now: noon, known: [long] }).findings).toEqual([]);
    expect(plan({ now: noon, known: [{ ...long, state: 'running', endedOn: undefined }] }).findings).toEqual([]);
    expect(plan({ now: noon, known: [{ ...long, endedOn: new Date('2026-11-27T05:00:00Z') }] }).findings).toHaveLength(1);
  });

  test('was not missed when the policy had another window then, in which there was an export', () => {
    const begin = new Date('2026-11-27T23:00:00Z');
    const id = jobId(WEB1, begin);
    expect(plan({ now: noon, known: [known('done', { days: 1 }), known('done', { id, begin })] }).findings).toEqual([]);
  });

  test.each(['running', 'done', 'failed', 'cancelled'] as const)('with an export that is %s was not missed', (state) => {
    expect(plan({ now: noon, known: [known(state)] }).findings).toEqual([]);
  });

  test('while no planner ran was missed, each since the first that is known; an instance that is new missed nothing', () => {
    expect(plan({ now: noon }).findings).toEqual([]);
    const { findings } = plan({ now: noon, known: [known('done', { days: 3 })] });
    const reason = 'it was not planned in the window: no planner ran, or its source could not be asked';
    expect(findings.map((each) => [each.window.begin.toISOString().slice(0, 10), each.reason])).toEqual([
      ['2026-11-27', reason],
      ['2026-11-26', reason],
      ['2026-11-25', reason],
    ]);
  });
});

test('a policy without a window is not planned, and named', () => {
  const { add, withoutWindow } = plan({ policies: [NIGHTLY, { name: 'hourly' }], instances: [WEB1, { ...WEB1, policy: 'hourly' }] });
  expect(add.map(({ policy }) => policy)).toEqual(['nightly']);
  expect(withoutWindow).toEqual(['hourly']);
});

test('the older the last good export, the higher the priority; without one it is the highest', () => {
  const ages = [0, 1, 60, 24 * 60, 400 * 24 * 60].map((minutes) => priorityOf(new Date(MIDNIGHT.getTime() - minutes * 60_000), MIDNIGHT));
  expect(ages).toEqual([0, 1, 60, 1440, 576_000]);
  expect(priorityOf(undefined, MIDNIGHT)).toBe(MAX_PLANNED_PRIORITY);
  expect(priorityOf(new Date(MIDNIGHT.getTime() + DAY_MS), MIDNIGHT)).toBe(0);
  expect(priorityOf(new Date(0), new Date('2100-01-01'))).toBe(MAX_PLANNED_PRIORITY - 1);
});

const ZONES = ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Tokyo'] as const;
const STATES = ['waiting', 'running', 'done', 'failed', 'cancelled', 'left', 'elsewhere', 'lost'] as const;
const minute = fc.integer({ min: 0, max: 24 * 60 - 1 });
const anyWindow = fc
  .tuple(minute, minute)
  .filter(([from, to]) => from !== to)
  .map(([from, to]) => ({ from, to, atEnd: 'finish' as const }));
// A year with both changes of summer time, to the minute.
const anyTime = fc.integer({ min: 0, max: 365 * 24 * 60 }).map((minutes) => new Date(Date.UTC(2026, 0, 1) + minutes * 60_000));
const anyInstances = fc
  .uniqueArray(fc.record({ instance: fc.constantFrom('web1', 'web2', 'db1', 'mail'), node: fc.constantFrom('n1', 'n2') }), {
    selector: ({ instance }) => instance,
  })
  .map((all) => all.map((each): PlacedInstance => ({ ...each, policy: 'nightly' })));

/** What is known of earlier nights: of the windows that the planner itself finds, in any state, on any node. */
function history(
  window: typeof NIGHT,
  instances: readonly PlacedInstance[],
  now: Date,
  states: readonly (readonly [number, KnownState, string])[],
): readonly KnownJob[] {
  const jobs = states.flatMap(([days, state, node], place) => {
    const instance = instances[place % Math.max(1, instances.length)];
    if (instance === undefined) return [];
    const then = new Date(now.getTime() - days * DAY_MS);
    const { add } = planFleet({ policies: [{ name: 'nightly', window }], instances: [instance], known: [], now: then });
    return add.map((job) => knownOf(job, node, state));
  });
  return [...new Map(jobs.map((job) => [`${job.id} ${job.node}`, job])).values()];
}

const anyCase = fc.record({
  timeZone: fc.constantFrom(...ZONES),
  window: anyWindow,
  now: anyTime,
  instances: anyInstances,
  states: fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.constantFrom(...STATES), fc.constantFrom('n1', 'n2')), { maxLength: 6 }),
});

const RUNS = { seed: 16, numRuns: ALL_VARIANTS ? 200 : 40 };

describe('no matter what is known', () => {
  test('a plan that was carried out needs no change: a second planner, or the next minute, adds nothing', () => {
    fc.assert(
      fc.property(anyCase, ({ timeZone, window, now, instances, states }) => {
        process.env['TZ'] = timeZone;
        const policies = [{ name: 'nightly', window }];
        const before = history(window, instances, now, states);
        const first = planFleet({ policies, instances, known: before, now });
        const after = carriedOut(first, before);
        const second = planFleet({ policies, instances, known: after, now });
        expect(second.add).toEqual([]);
        expect(second.drop).toEqual([]);
      }),
      RUNS,
    );
  });

  test('each subject has at most one export that waits or runs, and it begins within its window', () => {
    fc.assert(
      fc.property(anyCase, ({ timeZone, window, now, instances, states }) => {
        process.env['TZ'] = timeZone;
        const before = history(window, instances, now, states);
        const result = planFleet({ policies: [{ name: 'nightly', window }], instances, known: before, now });
        for (const {
          window: { begin, end },
          startAfter,
          node,
          instance,
        } of result.add) {
          expect(begin <= now && now < end).toBe(true);
          expect(begin <= startAfter && startAfter < end).toBe(true);
          expect(instances).toContainEqual({ policy: 'nightly', instance, node });
          const others = before.filter((each) => each.instance === instance && each.state === 'running' && each.node === node);
          expect(others).toEqual([]);
        }
        const waiting = carriedOut(result, before).filter(({ state, end }) => state === 'waiting' && end > now);
        expect(new Set(waiting.map(({ instance }) => instance)).size).toBe(waiting.length);
      }),
      RUNS,
    );
  });

  test('one window has one id all night long, and two windows have two', () => {
    fc.assert(
      fc.property(anyCase, ({ timeZone, window, now }) => {
        process.env['TZ'] = timeZone;
        const at = (time: Date): string | undefined =>
          planFleet({ policies: [{ name: 'nightly', window }], instances: [WEB1], known: [], now: time }).add[0]?.id;
        const [job] = planFleet({ policies: [{ name: 'nightly', window }], instances: [WEB1], known: [], now }).add;
        if (job === undefined) return;
        expect(at(job.window.begin)).toBe(job.id);
        expect(at(new Date(job.window.end.getTime() - 1))).toBe(job.id);
        expect(at(new Date(job.window.begin.getTime() - 1))).not.toBe(job.id);
        expect(at(job.window.end)).not.toBe(job.id);
      }),
      RUNS,
    );
  });
});

describe.each([
  ['forward', '2026-03-28T23:00:00Z', '2026-03-28T21:00:00.000Z', '2026-03-29T04:00:00.000Z'],
  ['back', '2026-10-24T23:00:00Z', '2026-10-24T20:00:00.000Z', '2026-10-25T05:00:00.000Z'],
])('in the night in which the clock of Berlin is set %s', (_, now, begin, end) => {
  test('there is one window, and one export', () => {
    process.env['TZ'] = 'Europe/Berlin';
    const { add } = plan({ now: new Date(now) });
    expect(add).toMatchObject([{ window: { begin: new Date(begin), end: new Date(end) } }]);
    const later = plan({ now: new Date(new Date(end).getTime() - 1), known: carriedOut(plan({ now: new Date(now) }), []) });
    expect(later).toMatchObject({ add: [], findings: [] });
  });
});
