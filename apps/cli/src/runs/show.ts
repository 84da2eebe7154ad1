import { isUtf8 } from 'node:buffer';
import process from 'node:process';
import type { StoredDump, StoredExport } from '@gantry/core';
import {
  assertOpened,
  dataFiles,
  describedInstance,
  describeInstance,
  formatInstanceFile,
  GantryError,
  isClosed,
  openExport,
} from '@gantry/core';
import type { NativeFile } from '@gantry/core/inventory';
import { formatBytes, formatTable } from '@gantry/programs';
import type { OptionValues } from '../command-line/command.ts';
import type { UNSEAL } from '../command-line/options.ts';
import type { Session } from '../session.ts';

/** Runs `gantry show`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  {
    native,
    instanceFile,
    ...flags
  }: { readonly native: string | undefined; readonly instanceFile: true | undefined } & OptionValues<typeof UNSEAL>,
): Promise<void> {
  if (native !== undefined && instanceFile === true) {
    throw new GantryError('USAGE', { message: '--native does not go with --instance-file', hint: 'Call gantry show for each of them.' });
  }
  await using store = await session.openSealed(address, 'read', flags);
  const found = await openExport(store, reference, { signal: session.signal });
  if (instanceFile === true) {
    assertOpened(store, found);
    showInstanceFile(session, found);
  } else if (native === undefined) showAll(session, found, isClosed(store, found) ? 'closed' : 'opened');
  else writeNative(session, found.reference, await found.nativeFile(native, { signal: session.signal }));
}

/** The bytes go out as they are, except on a terminal, for which they may be no text. */
function writeNative({ output, json }: Session, reference: string, { name, secret, bytes }: NativeFile): void {
  if (!json && process.stdout.isTTY && !isUtf8(bytes)) {
    throw new GantryError('USAGE', { message: `${name} of ${reference} is not text`, hint: 'Redirect stdout into a file.' });
  }
  const base64 = Buffer.from(bytes).toString('base64');
  output.bytes({ operation: 'show', reference, native: [{ name, secret, size: bytes.length, base64 }] }, bytes);
}

/** What an instance file cannot say stands in front of it, as comments. */
function showInstanceFile({ output }: Session, found: StoredExport): void {
  const instance = describeInstance(describedInstance(found), { includePrivate: false });
  const hasPaths = instance.disks.every(({ path, uri }) => path !== undefined || uri !== undefined);
  const lines = [
    `# ${instance.name} as ${found.reference} has it; private OS parameters are left out`,
    ...(hasPaths ? [] : ['# the export does not say where its disks are: add a path to each']),
    ...formatInstanceFile(instance, { includePrivate: false }).trimEnd().split('\n'),
  ];
  output.result({ operation: 'show', reference: found.reference, described: instance }, lines);
}

/** Of a sealed export: whether an identity opened it. */
type Sealed = 'opened' | 'closed';

function showAll(session: Session, found: StoredExport, sealed: Sealed): void {
  const { instance, id: exportId, origin, os, hypervisor, started, dumps, native, manifest, config } = found;
  // Private parameters in an export are only for its import.
  const shown =
    manifest === undefined ? undefined : { ...manifest, instance: describeInstance(manifest.instance, { includePrivate: false }) };
  session.output.result(
    {
      operation: 'show',
      reference: found.reference,
      instance,
      exportId,
      origin,
      os,
      hypervisor,
      started,
      ...(manifest?.sealed === undefined ? {} : { sealed }),
      dumps,
      native,
      manifest: shown,
      config,
    },
    showExport(found, sealed),
  );
}

/** The digests are below the table, as in SHA256SUMS: they would make it wider than most terminals. */
function showExport(found: StoredExport, sealed: Sealed): readonly string[] {
  const { manifest } = found;
  const facts = [
    ['export', found.reference],
    ['made by', manifest === undefined ? 'Ganeti, without checksums' : `${manifest.tool.name} ${manifest.tool.version}`],
    ['started', found.started?.toISOString() ?? 'unknown'],
    ...(manifest === undefined ? [] : [['ended', manifest.ended]]),
    ...(manifest?.tags === undefined ? [] : [['tags', manifest.tags.join(', ')]]),
    ...(manifest?.note === undefined ? [] : [['note', manifest.note]]),
    ...sealingFacts(found, sealed),
    ...(manifest?.sealed !== undefined && sealed === 'closed' ? [] : machineFacts(found)),
    ['disks', String(manifest?.instance.disks.length ?? found.config?.disks.length ?? found.dumps.length)],
  ];
  const dumps = [['DISK', 'DUMP', 'CODEC', 'PLAIN', 'STORED', 'SNAPSHOT'], ...found.dumps.map(dumpRow)];
  const digests = manifest === undefined ? [] : dataFiles(manifest).map(({ name, sha256 }) => `${sha256}  ${name}`);
  const sha256 = digests.length === 0 ? [] : ['', 'SHA-256', ...digests];
  const native = found.native.map(({ name, size, secret }) => [name, formatBytes(size), secret ? 'yes' : 'no']);
  const nativeTable = native.length === 0 ? [] : ['', ...formatTable([['NATIVE', 'SIZE', 'SECRET'], ...native])];
  return [...formatTable(facts), '', ...formatTable(dumps), ...nativeTable, ...sha256];
}

function machineFacts({ os, hypervisor, manifest, config }: StoredExport): readonly (readonly string[])[] {
  return [
    ['os', os],
    ['hypervisor', hypervisor ?? 'unknown'],
    ['node', manifest?.instance.primary_node ?? config?.source ?? 'unknown'],
  ];
}

function sealingFacts(found: StoredExport, sealed: Sealed): readonly (readonly string[])[] {
  const recipients = found.manifest?.sealed?.recipients;
  if (recipients === undefined) return [];
  const readers = recipients.length === 0 ? ['with a passphrase'] : recipients.map((recipient) => `to ${recipient}`);
  const more = recipients.length === 0 ? '--passphrase' : '--identity FILE';
  const whose = found.mismatch === undefined ? more : `none of the identities opens it; ${more} of one of its recipients`;
  return [
    ...readers.map((reader, index) => [index === 0 ? 'sealed' : '', reader]),
    ...(found.addedKeys ?? []).map((file) => ['', `to those who can read ${file}`]),
    ...(sealed === 'closed' ? [['', `${whose} shows what is sealed: the OS, hypervisor and node, parameters, messages of scripts`]] : []),
  ];
}

function dumpRow({ index, name, codec, record, diskSize }: StoredDump): string[] {
  const disk = `${index}${diskSize === undefined ? '' : ` (${diskSize} MiB)`}`;
  if (record === undefined) return [disk, name, codec, '-', '-', '-'];
  return [disk, name, codec, formatBytes(record.plainBytes), formatBytes(record.storedBytes), record.snapshot];
}
