/*
 * Counts the requests and bytes that nightly exports of ten disks with 1 % changed cost in a bucket, with verify and prune:
 * `node --conditions=@gantry/source bench/src/s3-requests.ts [MIB]`. As root, after `turbo run build`; the server is a gateway of Ceph. The
 * disks are small (MIB, 256 by default). What grows with the data is multiplied to 100 GiB, which means as many changed pieces of the same
 * length in each GiB: bytes, parts of uploads, and frames that are read back because patches differ from them. The text says so, and what the
 * same night costs without patches. With `--docs` it goes into docs/explanation/lineages.md.
 */
import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { FaultProxy } from '@gantry/testkit';
import { createBucket, makeTemporaryDirectory, startCeph, startFaultProxy } from '@gantry/testkit';
import { execa } from 'execa';
import { changeRuns } from './change-runs.ts';
import { COMMAND } from './command.ts';
import { GIB, makeDataSet, MIB } from './data-sets.ts';
import { replaceBetween } from './update-docs.ts';

const PAGE = new URL('../../docs/explanation/lineages.md', import.meta.url);
const DISKS = 10;
const SIMULATED_BYTES = 100 * GIB;
const NIGHTS_A_MONTH = 30;
const RUNS = 10;
/** US dollars; the bench has no network to ask for them. */
const PRICES = {
  source:
    'Amazon S3 Standard in us-east-1, as guides quoted them on 2026-11-27 (requests: dev.to/sh20raj/aws-s3-pricing-for-beginners-3fc2; storage: deepeshsoni.com/archives/256; what is sent out, the first 10 TB a month: github.com/pdelteil/BugBountyReportTemplates, S3-Bucket-Listing.md)',
  put: 0.005 / 1000,
  get: 0.0004 / 1000,
  storedGibMonth: 0.023,
  /** Out of Amazon's network; nothing within its region. */
  sentOutGib: 0.09,
};

const diskBytes = Number(process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? 256) * MIB;

interface Traffic {
  /** Requests that write or list, but for parts of uploads. */
  readonly puts: number;
  readonly parts: number;
  /** Other requests, but for frames that are read back. */
  readonly gets: number;
  /** Ranges of dumps, read one by one: frames from which patches differ, or what is verified. */
  readonly ranges: number;
  readonly sentBytes: number;
  readonly rangeBytes: number;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await using directory = await makeTemporaryDirectory('gantry-bench-');
await using server = await startCeph();
await createBucket(server, 'nightly');
await using proxy = await startFaultProxy(server.endpoint);
const storeAt = (prefix: string): string => `s3://nightly/${prefix}?${new URLSearchParams({ endpoint: proxy.endpoint }).toString()}`;
const store = storeAt('exports');
const storeOfWhole = storeAt('whole');
const env = {
  AWS_ACCESS_KEY_ID: server.accessKeyId,
  AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
  AWS_DEFAULT_REGION: 'us-east-1',
  GANTRY_STATE_DIR: directory.file('state'),
  GANTRY_CREATE_STORE: '1',
};

const disks = Array.from({ length: DISKS }, (_, index) => directory.file(`disk${index}.img`));
for (const disk of disks) await makeDataSet('dense', diskBytes, disk);
const yaml = disks.map((disk) => `  - path: ${disk}\n`).join('');
await writeFile(directory.file('instance.yaml'), `name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks:\n${yaml}`);
const exportInto = (into: string): readonly string[] => {
  const options = ['--snapshot', 'none', '--incremental', '--quiet'];
  return ['export', directory.file('instance.yaml'), into, ...options];
};

const rows: string[] = [
  '| work | PUT, POST, LIST | (parts) | GET, HEAD, DELETE | (ranges) | sent | ranges read |',
  '| --- | --- | --- | --- | --- | --- | --- |',
];
const first = await count('first export', exportInto(store));
await runGantry(exportInto(storeOfWhole));
for (const disk of disks) await changeRuns(disk, RUNS, disk);
const night = await count('nightly export, 1 % changed', exportInto(store));
const wholeNight = await count('the same with `--no-patches`', [...exportInto(storeOfWhole), '--no-patches']);
await count('verify, present', ['verify', store, '--depth', 'present', '--quiet']);
const verified = await count('verify, stored', ['verify', store, '--depth', 'stored', '--quiet']);
const pruned = await count('prune, one of two goes', ['prune', store, '--keep-last', '1', '--quiet']);
const target = ['--to', directory.file('instance.yaml'), '--yes'];
const restored = await count('restore of all disks', ['import', store, 'web1.example.com', ...target, '--quiet']);
const scale = SIMULATED_BYTES / diskBytes;
const month = monthly(scale);
console.log(`${rows.join('\n')}\n\n${month}`);
if (process.argv.includes('--docs')) await replaceBetween(PAGE, 'bench/src/s3-requests.ts --docs', `${rows.join('\n')}\n\n${month}`);

async function runGantry(args: readonly string[]): Promise<void> {
  await execa(COMMAND[0], [COMMAND[1], ...args], { env });
}

async function count(title: string, args: readonly string[]): Promise<Traffic> {
  const before = proxy.seen.length;
  await runGantry(args);
  const traffic = trafficOf(proxy.seen.slice(before));
  const { puts, parts, gets, ranges, sentBytes, rangeBytes } = traffic;
  rows.push(`| ${[title, puts + parts, parts, gets + ranges, ranges, mib(sentBytes), mib(rangeBytes)].join(' | ')} |`);
  console.error(rows.at(-1));
  return traffic;
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

type Request = FaultProxy['seen'][number]['request'];

function trafficOf(seen: FaultProxy['seen']): Traffic {
  const requests = seen.map(({ request }) => request);
  const isPart = ({ method, query }: Request): boolean => method === 'PUT' && query.has('partNumber');
  const isPut = ({ method, query }: Request): boolean =>
    method === 'PUT' || method === 'POST' || query.has('list-type') || query.has('uploads');
  const rangeOf = ({ method, path, headers }: Request): number => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(headers['range'] ?? '')) ?? [];
    return method === 'GET' && /\/disk\d+\.[^/]*(zst|gz|img)$/.test(path) && to !== undefined ? Number(to) - Number(from) + 1 : 0;
  };
  const ranges = requests.map(rangeOf).filter((bytes) => bytes > 0);
  const parts = requests.filter(isPart).length;
  return {
    puts: requests.filter(isPut).length - parts,
    parts,
    gets: requests.filter((request) => !isPut(request)).length - ranges.length,
    ranges: ranges.length,
    sentBytes: requests.reduce((total, { headers }) => total + Number(headers['content-length'] ?? 0), 0),
    rangeBytes: ranges.reduce((total, bytes) => total + bytes, 0),
  };
}

/** A night, and a month of such nights. */
interface Costs {
  readonly writes: number;
  readonly others: number;
  readonly sentGib: number;
  readonly readGib: number;
  /** At the end of the month. */
  readonly storedGib: number;
  /** US dollars a month. */
  readonly storage: number;
  readonly requests: number;
  readonly sentOut: number;
}

/** What grows with the data is multiplied; everything else is the same for a disk of any size. */
function costsOf(traffic: Traffic, scale: number): Costs {
  const sent = traffic.sentBytes * scale;
  const readGib = (traffic.rangeBytes * scale) / GIB;
  const writes = traffic.puts + Math.ceil(sent / (8 * MIB));
  const others = traffic.gets + traffic.ranges * scale;
  const storedGib = (first.sentBytes * scale + sent * NIGHTS_A_MONTH) / GIB;
  return {
    writes,
    others: Math.round(others),
    sentGib: sent / GIB,
    readGib,
    storedGib,
    storage: storedGib * PRICES.storedGibMonth,
    requests: NIGHTS_A_MONTH * (writes * PRICES.put + others * PRICES.get),
    sentOut: readGib * NIGHTS_A_MONTH * PRICES.sentOutGib,
  };
}

function monthly(scale: number): string {
  const [patched, whole] = [costsOf(night, scale), costsOf(wholeNight, scale)];
  const runKib = Math.round(diskBytes / 1000 / 1024);
  return [
    'In parentheses, how many of these are parts of uploads, and ranges of dumps.',
    '',
    `Measured with ${DISKS} disks of ${diskBytes / MIB} MiB, of which 1 % changes in ${RUNS} pieces of some ${runKib} KiB each. For`,
    `${SIMULATED_BYTES / GIB} GiB, bytes, parts of uploads (8 MiB) and ranges of dumps are multiplied by ${scale}: as many pieces of the`,
    `same length in each GiB. A night then has ${patched.writes} requests that write or list and ${patched.others} others, sends`,
    `${patched.sentGib.toFixed(1)} GiB, and reads ${patched.readGib.toFixed(1)} GiB back: the frames from which patches differ.`,
    '',
    '| a month of such nights, all kept | stored at its end | storage | requests | read back |',
    '| --- | --- | --- | --- | --- |',
    rowOf('with patches', patched),
    rowOf('with `--no-patches`', whole),
    '',
    '| besides, each time | requests | read back |',
    '| --- | --- | --- |',
    besides('prune', pruned, scale),
    besides('verify both exports by their digests', verified, scale),
    besides('restore all disks', restored, scale),
    '',
    `In US dollars. Storage: a month of what is stored at its end. What is read back costs nothing within the network of the`,
    'service. Prices:',
    `${PRICES.source}: ${(PRICES.put * 1000).toFixed(3)} for 1,000 requests that write or list,`,
    `${(PRICES.get * 1000).toFixed(4)} for 1,000 others, ${PRICES.storedGibMonth} for a GiB a month, ${PRICES.sentOutGib} for a GiB that is sent out.`,
  ].join('\n');
}

/** What one such run costs. */
function besides(title: string, { puts, gets, ranges, rangeBytes }: Traffic, scale: number): string {
  const requests = puts * PRICES.put + (gets + ranges * scale) * PRICES.get;
  const sentOut = ((rangeBytes * scale) / GIB) * PRICES.sentOutGib;
  return `| ${[title, ...[requests, sentOut].map((dollars) => dollars.toFixed(2))].join(' | ')} |`;
}

function rowOf(title: string, { storedGib, storage, requests, sentOut }: Costs): string {
  return `| ${[title, `${storedGib.toFixed(0)} GiB`, ...[storage, requests, sentOut].map((dollars) => dollars.toFixed(2))].join(' | ')} |`;
}
