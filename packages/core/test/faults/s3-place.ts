import { randomBytes } from 'node:crypto';
import type { CephServer, Fault as ProxyFault, ProxiedRequest } from '@gantry/testkit';
import { createBucket, s3Request, startCeph, startFaultProxy } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { openS3Store } from '@gantry/transport-s3';
import type { Call, Effect, Fault, Faults } from './faults.ts';
import { pointsOf } from './faults.ts';
import { contentsThrough } from './file-place.ts';
import type { Medium, Place } from './place.ts';

const EFFECTS: Readonly<Record<string, Effect>> = { GET: 'reads', HEAD: 'reads', PUT: 'adds', POST: 'adds', DELETE: 'removes' };

/** A store in a bucket of a real service, with faults at each of its requests. */
export async function s3Medium(): Promise<Medium> {
  await using scope = new AsyncDisposableStack();
  const ceph = scope.use(await startCeph());
  const bucket = `faults-${randomBytes(6).toString('hex')}`;
  await createBucket(ceph, bucket);
  const owned = scope.move();
  return {
    name: 's3',
    // Requests are made side by side, and repeated after a time.
    isGuess: true,
    // Answers of HTTP come one after the other.
    points: (calls) => pointsOf(calls).filter(({ kind }) => kind !== 'answer is late'),
    place: async () => s3Place(ceph, bucket, newPrefix()),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function newPrefix(): string {
  return `${randomBytes(6).toString('hex')}/`;
}

function s3Place(ceph: CephServer, bucket: string, prefix: string): Place {
  const open = (): Promise<Store> => openAt(ceph, bucket, prefix, ceph.endpoint);
  return {
    copy: async () => {
      await using store = await open();
      const to = newPrefix();
      for await (const { key } of store.list('')) await copyObject(ceph, `/${bucket}/${prefix}${key}`, `/${bucket}/${to}${key}`);
      return s3Place(ceph, bucket, to);
    },
    open,
    openFaulted: async (faults) => {
      const proxy = await startFaultProxy(ceph.endpoint);
      const store = await openAt(ceph, bucket, prefix, proxy.endpoint);
      const answers = new Map<number, Answer>();
      proxy.inject({
        when: () => true,
        fault: (request) => {
          const answer = answerTo(request, faults);
          answers.set(request.number, answer);
          return answer.fault === undefined ? undefined : proxyFault(answer.call, answer.fault, faults);
        },
      });
      return alterStore(store, {
        [Symbol.asyncDispose]: async () => {
          await store[Symbol.asyncDispose]();
          for (const [number, answer] of answers) readAnswer(answer, proxy.seen[number - 1]?.answerBytes ?? 0, faults);
          await proxy[Symbol.asyncDispose]();
        },
      });
    },
    end: async () => {},
    contents: async () => {
      await using store = await open();
      return await contentsThrough(store);
    },
    [Symbol.asyncDispose]: async () => {
      await using store = await open();
      await store.remove((await Array.fromAsync(store.list(''))).map(({ key }) => key));
    },
  };
}

async function copyObject(ceph: CephServer, from: string, to: string): Promise<void> {
  const { status, body } = await s3Request(ceph, to, { method: 'PUT', headers: { 'x-amz-copy-source': from } });
  if (status !== 200) throw new Error(`cannot copy ${from}: ${status} ${body}`);
}

function openAt(ceph: CephServer, bucket: string, prefix: string, endpoint: string): Promise<Store> {
  const url = new URL(`s3://${bucket}/${prefix}?${new URLSearchParams({ endpoint, stallSeconds: '2', retrySeconds: '4' }).toString()}`);
  return openS3Store(url, {
    cwd: '/',
    env: { AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey },
    warn: () => undefined,
  });
}

/** A call that was made as a request, and its fault. */
interface Answer {
  readonly call: Call;
  readonly fault: Fault | undefined;
}

function answerTo({ method, path, headers }: ProxiedRequest, faults: Faults): Answer {
  const { call, fault } = faults.next(`${method} ${path}`, EFFECTS[method] ?? 'reads');
  const length = Number(headers['content-length'] ?? 0);
  if (length > 0) call.bytes = length;
  call.isAnswered = true;
  return { call, fault };
}

/** How many bytes an answer has is known when it is there: only then, whether there was a byte that could have a fault. */
function readAnswer({ call, fault }: Answer, bytes: number, faults: Faults): void {
  if (call.effect !== 'reads' || bytes === 0) return;
  call.bytes = bytes;
  if (fault !== undefined && !(fault.kind in PLAIN) && fault.byte < bytes) faults.reached(call.name);
}

function proxyFault({ name, effect }: Call, fault: Fault, faults: Faults): ProxyFault | undefined {
  if (fault.kind in PLAIN || effect !== 'reads') faults.reached(name);
  if (fault.kind === 'stalls' || fault.kind === 'stalls at') faults.cancel();
  if (fault.kind === 'killed at') faults.kill();
  return PLAIN[fault.kind] ?? inBody(fault, effect);
}

const DENIED: ProxyFault = { kind: 'answer', status: 403, code: 'AccessDenied' };

/** A process that was killed sends nothing any more: what it tries all the same is refused at once. */
const PLAIN: Readonly<Partial<Record<Fault['kind'], ProxyFault>>> = {
  fails: { kind: 'answer', status: 500, code: 'InternalError' },
  'is denied': DENIED,
  'answer is lost': { kind: 'lose-answer' },
  stalls: { kind: 'silence' },
  killed: DENIED,
  'denied from then on': DENIED,
  'full from then on': { kind: 'answer', status: 403, code: 'QuotaExceeded' },
};

function inBody({ kind, byte }: Fault, effect: Effect): ProxyFault | undefined {
  const side = effect === 'reads' ? 'response' : 'request';
  if (kind === 'a bit is flipped') return { kind: `flip-${side}`, byte };
  if (kind === 'stalls at') return { kind: `stall-${side}`, bytes: byte };
  if (kind === 'ends early') return { kind: 'truncate-response', bytes: byte };
  return { kind: `cut-${side}`, bytes: byte };
}
