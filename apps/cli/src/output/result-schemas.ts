import { z } from 'zod';
import { anything, count, list, loose, text, texts, time, truth } from './schema-parts.ts';

/*
 * The result of each command, by its `operation`. What the fields mean: docs/reference/json-output.md.
 */

const warnings = texts;
const bytes = count;
const reference = text;
const frames = loose({ frames: count, bytes });
const plan = loose({ from: text, exported: text, into: text, disks: list({ disk: count, target: text, holds: text }) });
const defined = loose({ source: text, name: text, started: truth });
const verified = loose({ at: time, depth: text, result: z.enum(['sound', 'damaged']) }, { problem: text });
const run = loose({ state: z.enum(['running', 'stopped', 'unknown']) }, { node: text });

const exported = loose(
  {
    reference,
    instance: text,
    exportId: text,
    origin: z.enum(['gantry', 'ganeti']),
    state: z.enum(['complete', 'unfinished', 'damaged']),
    ownBytes: bytes,
  },
  {
    reason: text,
    code: text,
    owner: z.enum(['alive', 'dead', 'unknown']),
    started: time,
    warning: text,
    os: text,
    disks: count,
    missingDisks: count,
    plainBytes: bytes,
    storedBytes: bytes,
    verified,
    tags: texts,
    note: z.string(),
    protectedUntil: time,
  },
);

const status = loose(
  {
    instance: text,
    store: text,
    role: z.enum(['exports', 'copies']),
    state: z.enum(['good', 'late', 'missing', 'unknown']),
    damaged: texts,
    refused: list({ reference: text, code: text, reason: text }),
  },
  { reason: text, good: loose({ reference, started: time, ageMs: count }, { plainBytes: bytes, storedBytes: bytes, verified }) },
);

/** With --dry-run. */
const planned = loose(
  { dryRun: z.literal(true), instance: text, plan },
  { checks: list({ check: text, says: text }, { disk: count }), warnings },
);

export const RESULTS: Readonly<Record<string, z.ZodType>> = {
  export: z.union([
    loose(
      { reference, instance: text, exportId: text, plainBytes: bytes, storedBytes: bytes, dumps: z.array(anything), warnings },
      {
        incremental: loose({ parents: texts, known: frames, new: frames, patched: frames }),
        stores: list({ store: text, outcome: z.enum(['exported', 'copied', 'failed']) }, { reason: text, code: text, copyReason: text }),
      },
    ),
    planned,
  ]),
  import: z.union([
    loose(
      { reference, instance: text, disks: z.array(count), plan, plainBytes: bytes, dryRun: truth, warnings },
      { resumed: list({ disk: count, comparedBytes: bytes, readBytes: bytes, writtenBytes: bytes }), defined },
    ),
    planned,
  ]),
  move: z.union([
    loose(
      { instance: text, target: text, peer: text, plainBytes: bytes, storedBytes: bytes, dryRun: truth, warnings },
      {
        moveId: text,
        node: text,
        disks: z.array(anything),
        rounds: z.array(anything),
        downtimeMs: z.number(),
        plan,
        defined,
        origin: anything,
      },
    ),
    planned,
  ]),
  receive: loose({ moveId: text, instance: text, target: text, node: text, time, state: text, disks: list({ disk: count, state: text }) }),
  list: loose({
    store: text,
    damaged: count,
    exports: z.array(exported),
    removed: list({ reference, storedBytes: bytes }),
    totals: loose({ exports: count, instances: count, plainBytes: bytes, storedBytes: bytes }),
  }),
  // With --native or --instance-file, only that.
  show: loose(
    { reference },
    { instance: text, exportId: text, origin: text, dumps: z.array(anything), manifest: anything, described: anything },
  ),
  verify: loose(
    { depth: z.enum(['present', 'stored', 'frames', 'rehearsal']), warnings },
    {
      reference,
      plainBytes: bytes,
      checksums: truth,
      sealed: z.enum(['opened', 'closed']),
      protectedUntil: time,
      disks: list({ disk: count, proof: z.enum(['equal', 'imported']) }),
      store: text,
      exports: list(
        { reference, kind: z.enum(['export', 'packs']), result: z.enum(['sound', 'damaged', 'refused', 'unreadable']) },
        { code: text, reason: text, sealed: z.literal('closed') },
      ),
      damaged: count,
      unreadable: count,
      refused: count,
      closed: count,
      noneOpened: truth,
      left: count,
      oldestLeft: z.union([time, z.null()]),
      unfinished: count,
      storedBytes: bytes,
      readBytes: bytes,
      remembered: z.enum(['store', 'state directory']),
    },
  ),
  run: loose({ dryRun: truth, policies: z.array(anything) }),
  notify: loose({ policies: z.array(anything) }),
  status: loose(
    {
      policies: list(
        { policy: text, instances: z.array(status), problems: texts },
        { maxAgeMs: count, nextRun: time, lastRunUnknown: truth, lastRun: loose({ started: time, outcome: text }, { ended: time }) },
      ),
    },
    { check: loose({ state: z.enum(['OK', 'WARNING', 'CRITICAL', 'UNKNOWN']), line: text }) },
  ),
  report: loose({ file: text, stores: texts, exports: count }),
  diff: loose({
    first: text,
    second: text,
    disks: list({ disk: count, by: z.enum(['maps', 'reading']), added: frames, gone: frames }, { firstBytes: bytes, secondBytes: bytes }),
    warnings,
  }),
  copy: loose({ reference, instance: text, exportId: text, outcome: z.enum(['copied', 'present']), sentBytes: bytes, warnings }),
  mirror: loose({
    source: text,
    target: text,
    exports: list({ reference, outcome: z.enum(['copied', 'planned', 'failed']) }, { sentBytes: bytes, reason: text, code: text }),
    present: count,
    older: count,
    newest: texts,
    futureOnly: texts,
    sentBytes: bytes,
    warnings,
  }),
  consolidate: loose({ from: text, reference, consolidated: truth, removed: truth, plainBytes: bytes, storedBytes: bytes, warnings }),
  remove: z.union([loose({ store: text, reference, keptBytes: bytes, unclear: texts }), planned]),
  undelete: loose({
    store: text,
    dryRun: truth,
    exports: list(
      { reference, removed: time, bytes, outcome: z.enum(['found', 'restored', 'incomplete', 'busy']) },
      { code: text, reason: text },
    ),
  }),
  prune: loose({
    store: text,
    dryRun: truth,
    removed: texts,
    kept: count,
    deletedBytes: bytes,
    markedBytes: bytes,
    unclear: texts,
    damaged: texts,
    refused: list({ reference: text, code: text, reason: text }),
    relabeled: texts,
  }),
  clean: loose({ things: list({ what: text, outcome: z.enum(['found', 'cleared', 'kept', 'noted']) }) }),
  'snapshots-check': loose({
    instance: text,
    possible: truth,
    disks: list(
      { disk: count, target: text, what: text, others: list({ provider: text, possible: truth, what: text }) },
      { provider: text },
    ),
    problems: texts,
  }),
  create: loose({ instance: text, os: text, reinstall: truth }),
  rename: loose({ instance: text, oldName: text }),
  instances: loose({ source: text, instances: list({ name: text }, { os: text, hypervisor: text, run, disks: count, tags: texts }) }),
  describe: loose(
    { source: text, instance: anything, guarded: texts },
    { run, native: list({ name: text, bytes, secret: truth }), guest: anything, disksOn: text },
  ),
  'os-list': loose({
    searchPath: texts,
    definitions: list({ name: text, valid: truth }, { directory: text, reasons: texts, shadowedBy: text }),
  }),
  'os-show': loose({ definition: loose({ name: text, builtin: truth, operations: texts }) }),
  'os-check': loose({ os: text, parameters: texts }),
  'store-init': loose({ store: text, storeId: text, created: truth }),
  'store-conformance': loose({ store: text, results: list({ title: text, kept: truth }) }),
  schema: loose({ schema: anything }),
  completion: loose({ shell: text, script: text }),
  complete: loose({
    word: z.string(),
    paths: z.enum(['files', 'directories', 'none']),
    items: list({ value: z.string() }, { description: z.string() }),
  }),
  'config-show': loose(
    { files: texts },
    { values: z.array(anything), variables: list({ name: text, value: z.string() }), policy: text, settings: z.array(anything) },
  ),
  'config-check': loose({
    files: texts,
    checks: list({ what: text, result: z.enum(['ok', 'failed', 'warning']), found: text }, { code: text, hint: text }),
    failed: count,
  }),
  tag: loose({ store: text, reference, instance: text, exportId: text, tags: texts, changed: truth, warnings }, { note: z.string() }),
  'keys-add': loose({ store: text, recipients: texts, exports: list({ reference, file: text, keys: count, keysOf: texts }), warnings }),
  'keys-check': loose({
    store: text,
    exports: list({ reference, sealed: truth, recipients: texts, addedKeys: count }, { readable: truth, closed: texts }),
    warnings,
  }),
  version: loose({
    version: text,
    protocol: count,
    formats: list({ format: text }, { reads: z.array(z.unknown()), writes: z.array(z.unknown()) }),
    node: loose({ version: text, path: text }),
    libraries: list({ name: text, version: text }),
  }),
};
