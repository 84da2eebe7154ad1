/*
 * Counts the requests and bytes that nightly exports of ten disks with 1 % changed cost in a bucket, with verify and prune:
 * `node --conditions=@gantry/source bench/src/s3-requests.ts [MIB]`. As root, after `turbo run build`; the server is a gateway of Ceph. The
 * disks are small (MIB, 256 by default); what grows with the disk is multiplied to 100 GiB, and the table says so. With `--docs` it goes
 * into docs/explanation/lineages.md.
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
/** US dollars, Amazon S3 Standard in us-east-1: from memory, since no network leads there from here. */
const PRICES = { put: 0.005 / 1000, get: 0.0004 / 1000, storedGibMonth: 0.023 };

const diskBytes = Number(process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? 256) * MIB;

interface Traffic {
  readonly puts: number;
  readonly gets: number;
  readonly sentBytes: number;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await using directory = await makeTemporaryDirectory('gantry-bench-');
await using server = await startCeph();
await createBucket(server, 'nightly');
await using proxy = await startFaultProxy(server.endpoint);
const store = `s3://nightly/exports?${new URLSearchParams({ endpoint: proxy.endpoint }).toString()}`;
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
const keep = ['export', directory.file('instance.yaml'), store, '--snapshot', 'none', '--incremental', '--quiet'];

const rows: string[] = ['| work | PUT, POST, LIST | GET, HEAD, DELETE | sent |', '| --- | --- | --- | --- |'];
const first = await count('first export', keep);
for (const disk of disks) await changeRuns(disk, 10, disk);
const night = await count('nightly export, 1 % changed', keep);
await count('verify, present', ['verify', store, '--depth', 'present', '--quiet']);
await count('verify, stored', ['verify', store, '--depth', 'stored', '--quiet']);
await count('prune, one of two goes', ['prune', store, '--keep-last', '1', '--quiet']);
const scale = SIMULATED_BYTES / diskBytes;
const month = monthly(scale);
console.log(`${rows.join('\n')}\n\n${month}`);
if (process.argv.includes('--docs')) await replaceBetween(PAGE, 'bench/src/s3-requests.ts --docs', `${rows.join('\n')}\n\n${month}`);

async function count(title: string, args: readonly string[]): Promise<Traffic> {
  const before = proxy.seen.length;
  await execa(COMMAND[0], [COMMAND[1], ...args], { env });
  const traffic = trafficOf(proxy.seen.slice(before));
  rows.push(`| ${title} | ${traffic.puts} | ${traffic.gets} | ${(traffic.sentBytes / MIB).toFixed(1)} MiB |`);
  console.error(rows.at(-1));
  return traffic;
}

function trafficOf(seen: FaultProxy['seen']): Traffic {
  const requests = seen.map(({ request }) => request);
  const isPut = ({ method, query }: (typeof requests)[number]): boolean =>
    method === 'PUT' || method === 'POST' || query.has('list-type') || query.has('uploads');
  return {
    puts: requests.filter(isPut).length,
    gets: requests.filter((request) => !isPut(request)).length,
    sentBytes: requests.reduce((total, { headers }) => total + Number(headers['content-length'] ?? 0), 0),
  };
}

/** Parts of an upload grow with the data; everything else is the same for a disk of any size. */
function monthly(scale: number): string {
  const nightBytes = night.sentBytes * scale;
  const parts = Math.ceil(nightBytes / (8 * MIB));
  const requests = night.puts + parts;
  const gib = (first.sentBytes * scale + nightBytes * NIGHTS_A_MONTH) / GIB;
  const dollars = NIGHTS_A_MONTH * (requests * PRICES.put + night.gets * PRICES.get) + gib * PRICES.storedGibMonth;
  const sizes = `disks of ${diskBytes / MIB} MiB were measured; for ${SIMULATED_BYTES / GIB} GiB, bytes and parts of uploads are multiplied by ${scale}`;
  return `A night with ${DISKS} disks (${sizes}): ${requests} requests that write or list, ${night.gets} others, ${(nightBytes / GIB).toFixed(1)} GiB sent. A month of such nights, all kept: ${gib.toFixed(0)} GiB stored, ${dollars.toFixed(2)} US dollars at ${PRICES.put * 1000} for 1,000 requests that write, ${PRICES.get * 1000} for 1,000 others, and ${PRICES.storedGibMonth} for a GiB a month.`;
}
