import type { FleetJob } from '../src/queue/records.ts';
import { DAY_MS } from '../src/days.ts';
import type { Questions } from '../src/web/questions.ts';

const HOUR_MS = 3_600_000;
const GIB = 2 ** 30;

/** When the sample fleet is looked at: in its night. */
export const NOW: Date = new Date('2026-11-28T01:00:00Z');

function hours(count: number): Date {
  return new Date(NOW.getTime() + count * HOUR_MS);
}

const WINDOW = { begin: hours(-3), end: hours(5) };

function job(instance: string, node: string, fields: Partial<FleetJob>): FleetJob {
  return { id: `${instance}/${node}`, policy: 'nightly', instance, node, ...WINDOW, state: 'waiting', attempts: 0, output: {}, ...fields };
}

function done(instance: string, node: string, plain: number, [began, took]: readonly [number, number]): FleetJob {
  const startedOn = hours(began);
  const reference = `${instance}@${startedOn.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  const output = { outcome: 'exported', reference, plainBytes: plain * GIB, storedBytes: plain * GIB * 0.04 } as const;
  return job(instance, node, { state: 'done', attempts: 1, startedOn, endedOn: hours(began + took), output });
}

const MESSAGE = 'vault does not answer: connect ECONNREFUSED 192.0.2.7:22';

function failed(instance: string, node: string, [began, ended]: readonly [number, number]): FleetJob {
  const output = { outcome: 'failed', code: 'STORE_UNAVAILABLE', message: MESSAGE } as const;
  return job(instance, node, { state: 'failed', attempts: 4, startedOn: hours(began), endedOn: hours(ended), output });
}

const JOBS: readonly FleetJob[] = [
  job('db1.example.com', 'node1', {
    state: 'running',
    attempts: 1,
    startedOn: hours(-1),
    output: { progress: { readBytes: 20 * GIB, bytesPerSecond: 100 * 2 ** 20 } },
  }),
  job('files.example.com', 'node2', {
    state: 'running',
    attempts: 2,
    startedOn: hours(-0.25),
    output: { progress: { readBytes: 7.5 * GIB, bytesPerSecond: 62 * 2 ** 20 } },
  }),
  done('web1.example.com', 'node1', 20, [-2.5, 0.2]),
  done('web2.example.com', 'node2', 20, [-2.2, 0.3]),
  done('dns.example.com', 'node3', 4, [-2.9, 0.1]),
  job('wiki.example.com', 'node1', { attempts: 1, startAfter: hours(0.01), output: { code: 'BUSY', waitsFor: 'vault' } }),
  job('test.example.com', 'node3', { startAfter: hours(-0.5) }),
  job('build.example.com', 'node2', { startAfter: hours(0.4) }),
  job('chat.example.com', 'node1', { startAfter: hours(0.7) }),
  {
    ...job('vault', 'node3', {
      state: 'done',
      attempts: 1,
      startedOn: hours(-19),
      endedOn: hours(-18.2),
      output: { outcome: 'done', message: '212 verified, 3920 left for later; 14 removed' },
    }),
    work: 'store',
    begin: hours(-19),
    end: hours(-3),
  },
  {
    ...job('shop.example.com', 'node2', {
      state: 'done',
      attempts: 1,
      startedOn: hours(-9),
      endedOn: hours(-8.5),
      output: { outcome: 'done', reference: 'shop.example.com@20261126T231500Z', message: 'restored into shop.example.com' },
    }),
    work: 'restore',
    begin: undefined,
    end: undefined,
  },
  failed('mail.example.com', 'node3', [-1, -0.9]),
  failed('news.example.com', 'node3', [-0.9, -0.8]),
];

/** What the policy selects. */
const SELECTED = ['db1', 'files', 'web1', 'web2', 'dns', 'wiki', 'test', 'build', 'chat', 'mail', 'news'];

/** A fleet of three nodes in a night, which is made up: something of everything. */
export function sampleFleet(): Questions {
  const good = (instance: string, plain: number, ageHours: number): Awaited<ReturnType<Questions['good']>>[number] => {
    return { policy: 'nightly', instance, endedOn: hours(-ageHours), plainBytes: plain * GIB };
  };
  return {
    status: () =>
      Promise.resolve({
        nodes: ['node1', 'node2', 'node3'],
        paused: ['node3'],
        limits: [{ store: 'vault', atOnce: 2, held: 2 }],
        jobs: JOBS,
        findings: [
          {
            kind: 'missed',
            id: 'missed',
            policy: 'nightly',
            instance: 'wiki.example.com',
            node: 'node1',
            window: { begin: hours(-27), end: hours(-19) },
            reason: 'its turn did not come before the window ended',
            foundOn: hours(-19),
          },
        ],
        selected: SELECTED.map((name) => ({ policy: 'nightly', instance: `${name}.example.com`, since: hours(-720) })),
        turns: [
          {
            planner: 'node1',
            plannedSecondsAgo: 20,
            problems: [{ about: 'ganeti://master', message: 'ganeti://master: it does not answer [INVENTORY_UNAVAILABLE]' }],
          },
        ],
      }),
    good: () =>
      Promise.resolve([
        good('db1.example.com', 80, 23),
        good('files.example.com', 12, 24),
        good('mail.example.com', 120, 72),
        good('news.example.com', 6, 25),
        good('wiki.example.com', 6, 25),
        ...['web1', 'web2'].map((name) => good(`${name}.example.com`, 20, 2)),
        good('removed.example.com', 4, 300),
        ...['dns', 'test', 'build', 'chat'].map((name) => good(`${name}.example.com`, 4, 20)),
      ]),
    history: (instance) => Promise.resolve(instance.endsWith('.example.com') ? nights(instance) : []),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A month of nights, the oldest first; each seventh one fails. */
function nights(instance: string): readonly FleetJob[] {
  return Array.from({ length: 28 }, (_, index) => {
    const night = 28 - index;
    const at = -24 * night - 1;
    const window = { begin: new Date(WINDOW.begin.getTime() - night * DAY_MS), end: new Date(WINDOW.end.getTime() - night * DAY_MS) };
    if (night % 7 !== 0) return { ...done(instance, 'node1', 20 + (index % 4), [at, 0.2 + 0.05 * (index % 5)]), ...window };
    const output = { outcome: 'failed', code: 'STORE_UNAVAILABLE', message: MESSAGE } as const;
    return job(instance, 'node1', { ...window, state: 'failed', attempts: 4, startedOn: hours(at), endedOn: hours(at + 0.05), output });
  });
}
