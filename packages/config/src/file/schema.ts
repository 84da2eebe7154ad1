import { CODEC_NAMES, isRecipient, parseSnapshotSize, SNAPSHOT_MODES } from '@gantry/core';
import { nonEmptyLine, text } from '@gantry/core/documents';
import { z } from 'zod';
import { parseBudget, parseKeepCount, parseWithin } from '../quantities.ts';
import { fieldsAt, jsonSchemaOf } from './json-schema.ts';
import {
  amount,
  argv,
  choice,
  duration,
  group,
  limitRate,
  list,
  named,
  oneOrMore,
  range,
  SIZE_PATTERN,
  tag,
  timeLimit,
  truth,
  whole,
  written,
} from './values.ts';

/*
 * The fields of gantry.yaml, in kebab case as options on the command line, and what their values mean.
 */

const SHARE_PATTERN = String.raw`\d{1,3}(\.\d{1,3})?%`;

const LIMIT_RATE = 'Stored bytes a second, read and written together; or rates by parts of the day';

/** The message does not have the value: it may be an identity, which is secret. */
const recipient = text('a recipient')
  .refine(isRecipient, 'must be a recipient of age (age1…), such as age-keygen -y shows')
  .meta({ pattern: '^age1[a-z0-9]+$' });

const exportFields = {
  codec: choice(CODEC_NAMES).exactOptional().meta({ description: 'How dumps are compressed' }),
  level: whole(1, 99).exactOptional().meta({ description: 'Level of the codec' }),
  incremental: truth.exactOptional().meta({ description: 'Store only what earlier exports of the instance lack' }),
  'full-every': whole(1).exactOptional().meta({ description: 'A full export once this many follow each other' }),
  'track-changes': truth.exactOptional().meta({ description: 'Read only what changed, where the snapshot can say what' }),
  patches: truth.exactOptional().meta({ description: 'Store a changed frame as its difference from the earlier one, which is read back' }),
  snapshot: choice(SNAPSHOT_MODES).exactOptional().meta({ description: 'How disks are snapshotted' }),
  'snapshot-config': nonEmptyLine.exactOptional().meta({ description: 'File with the commands of snapshot: command' }),
  'snapshot-size': amount(
    'a size such as 5G, or a share such as 20%',
    asUndefined(parseSnapshotSize),
    String.raw`\d{1,15}(%|[KkMmGgTt]?([iI]?[bB])?)`,
  )
    .exactOptional()
    .meta({ description: 'Space for each classic snapshot of LVM' }),
  'parallel-disks': whole(1, 256).exactOptional().meta({ description: 'How many disks of an instance at once' }),
  'sign-key': nonEmptyLine.exactOptional().meta({ description: 'File with the SSH key by which each export is signed' }),
  'with-private': truth.exactOptional().meta({ description: 'Include private OS parameters and secret native files' }),
  recipients: list(recipient, 'recipients').exactOptional().meta({ description: 'Public keys of age of those who can read the exports' }),
  'recipients-files': list(nonEmptyLine, 'files').exactOptional().meta({ description: 'Files with such public keys, one in each line' }),
  tags: list(tag, 'tags').exactOptional().meta({ description: 'Tags of each export' }),
  identity: oneOrMore(nonEmptyLine, 'files')
    .exactOptional()
    .meta({ description: 'Files with the identities of age that open sealed exports; read only where they are needed' }),
  'allowed-signers': nonEmptyLine
    .exactOptional()
    .meta({ description: 'File with who may sign exports, by which their signatures are checked: as ssh-keygen -Y verify takes it' }),
  'require-signature': truth.exactOptional().meta({ description: 'Refuse exports that are not signed, where signatures are checked' }),
};

function asUndefined<T>(parse: (value: string) => T): (value: string) => T | undefined {
  return (value) => {
    try {
      return parse(value);
    } catch {
      return undefined;
    }
  };
}

/** Messages have it: credentials come from the environment. */
function parseEndpoint(value: string): string | undefined {
  const url = URL.parse(value);
  const isUsable = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  return isUsable ? value : undefined;
}

const store = group({
  url: nonEmptyLine.meta({ description: 'A directory, or a URL such as ssh://host/srv/exports or s3://bucket/prefix' }),
  'limit-rate': limitRate.exactOptional().meta({ description: LIMIT_RATE }),
  parallel: whole(1, 1000).exactOptional().meta({ description: 'How many exports a run writes into it at once' }),
  node: nonEmptyLine.exactOptional().meta({ description: 'The node of a fleet that copies into it, verifies and prunes it' }),
  ...exportFields,
});

const keep = amount('a whole number of 1 or more, or unlimited', parseKeepCount, String.raw`\d{1,9}|unlimited`);
const retention = group({
  last: keep.exactOptional().meta({ description: 'The newest n' }),
  hourly: keep.exactOptional().meta({ description: 'The newest of each of the last n hours that have one' }),
  daily: keep.exactOptional().meta({ description: 'The newest of each of the last n days that have one' }),
  weekly: keep.exactOptional().meta({ description: 'The newest of each of the last n weeks that have one' }),
  monthly: keep.exactOptional().meta({ description: 'The newest of each of the last n months that have one' }),
  yearly: keep.exactOptional().meta({ description: 'The newest of each of the last n years that have one' }),
  within: written('a duration such as 14d or 1y6m', parseWithin, {
    pattern: String.raw`^(?=\d)(\d{1,4}y)?(\d{1,4}m)?(\d{1,5}d)?(\d{1,6}h)?$`,
  })
    .exactOptional()
    .meta({ description: 'All that are not older than this, seen from the newest' }),
  tags: list(
    text('a tag, or several with commas between them').transform((value) => value.split(',')),
    'tags',
  )
    .exactOptional()
    .meta({ description: 'Those that have all tags of one of these' }),
}).refine((rules) => Object.keys(rules).length > 0, 'must keep something: last, daily, weekly, …');

const selection = group({
  source: nonEmptyLine.meta({ description: 'An inventory by name, ganeti:, libvirt:, a directory of instance files, or an instance file' }),
  names: oneOrMore(nonEmptyLine, 'names').exactOptional().meta({ description: 'Names of instances; * stands for any characters' }),
  tags: oneOrMore(tag, 'tags').exactOptional().meta({ description: 'An instance must have all of them' }),
  except: oneOrMore(nonEmptyLine, 'names').exactOptional().meta({ description: 'Names that are left out' }),
});

const policy = group({
  instances: oneOrMore(z.union([nonEmptyLine.transform((source) => ({ source })), selection]), 'instances').meta({
    description: 'Sources of instances, or groups with source, names, tags, except',
  }),
  stores: oneOrMore(nonEmptyLine, 'stores').meta({ description: 'Names of stores, or addresses' }),
  ...exportFields,
  retention: retention.exactOptional().meta({ description: 'What gantry run keeps of the exports in its stores' }),
  verify: group({
    depth: choice(['present', 'stored', 'frames'])
      .exactOptional()
      .meta({ description: 'Names and sizes, digests of what is stored, or every frame' }),
    budget: amount('a size such as 20GiB, or a share such as 5%', parseBudget, `${SIZE_PATTERN}|${SHARE_PATTERN}`)
      .exactOptional()
      .meta({ description: 'Read about that much each time, what was not verified for longest first' }),
  })
    .exactOptional()
    .meta({ description: 'What gantry run verifies afterwards' }),
  copies: list(
    group({
      to: nonEmptyLine.meta({ description: 'Name or address of the store' }),
      retention: retention.exactOptional().meta({ description: 'What is kept there' }),
    }),
    'copies',
  )
    .default([])
    .meta({ description: 'Other stores that get copies, with a retention of their own' }),
  'max-age': duration.exactOptional().meta({ description: 'An instance without a good export for longer is late' }),
  parallel: whole(1, 1000).default(1).meta({ description: 'How many instances at once' }),
  window: range.exactOptional().meta({ description: 'When exports may begin, by the clock of the host' }),
  'at-window-end': choice(['finish', 'stop'])
    .default('finish')
    .meta({ description: 'What happens to exports that run at the end of the window' }),
  'limit-rate': limitRate.exactOptional().meta({ description: LIMIT_RATE }),
  nice: whole(0, 19).exactOptional().meta({ description: 'As nice(1), for scripts and compression' }),
  io: choice(['best-effort', 'idle']).exactOptional().meta({ description: 'As ionice(1)' }),
  hooks: group({
    'before-snapshot': argv.exactOptional().meta({ description: 'Before disks are held still' }),
    'after-snapshot': argv.exactOptional().meta({ description: 'When they are held still' }),
    'on-success': argv.exactOptional().meta({ description: 'After an export that is complete' }),
    'on-failure': argv.exactOptional().meta({ description: 'After one that failed' }),
    timeout: timeLimit.prefault('1min').meta({ description: 'How long each of them may take; at most 24h' }),
  })
    .prefault({})
    .meta({ description: 'Programs that are started around each export' }),
});

const mail = group({
  to: oneOrMore(nonEmptyLine, 'addresses').meta({ description: 'Addresses that get it' }),
  from: nonEmptyLine.exactOptional().meta({ description: 'Address of the sender' }),
  sendmail: nonEmptyLine.exactOptional().meta({ description: 'The program that sends it; /usr/sbin/sendmail where absent' }),
});

/* The fields of host, defaults, notify and metrics have no default here: each counts for itself, and a default would replace an earlier file's. */
const configuration = group({
  stores: named(store, 'stores by their names').default({}).meta({ description: 'Where exports are, by names' }),
  inventories: named(nonEmptyLine, 'addresses by their names')
    .default({})
    .meta({ description: 'Addresses of sources of instances, by names' }),
  policies: named(policy, 'policies by their names')
    .default({})
    .meta({ description: 'What is exported, how, to where, and how long it is kept' }),
  host: group({
    parallel: whole(1, 1000).exactOptional().meta({ description: 'How many instances are exported at once, by all runs of policies' }),
  })
    .prefault({})
    .meta({ description: 'What all policies share on this machine' }),
  defaults: group({ ...exportFields, 'limit-rate': limitRate.exactOptional().meta({ description: LIMIT_RATE }) })
    .prefault({})
    .meta({ description: 'What neither a store nor a policy says' }),
  notify: group({
    on: choice(['failure', 'always']).exactOptional().meta({ description: 'After which runs; failure where absent' }),
    mail: mail.exactOptional().meta({ description: 'A mail with the summary of the run' }),
    command: argv.exactOptional().meta({ description: 'A program that gets the summary as JSON on its standard input' }),
  })
    .exactOptional()
    .meta({ description: 'Who learns how a run ended' }),
  metrics: group({
    textfile: nonEmptyLine.exactOptional().meta({ description: "A file for the textfile collector of Prometheus' node_exporter" }),
    otlp: written('an http or https URL without credentials', parseEndpoint)
      .exactOptional()
      .meta({ description: 'Collector of OpenTelemetry, such as http://localhost:4318' }),
  })
    .prefault({})
    .meta({ description: 'Where figures are written' }),
});

/** gantry.yaml as it was written, with its values read. */
export type ConfigurationDocument = z.output<typeof configuration>;

/** Checks one document. */
export async function checkConfiguration(value: unknown): Promise<z.ZodSafeParseResult<ConfigurationDocument>> {
  // An empty file says nothing.
  return await configuration.safeParseAsync(value ?? {});
}

/** The fields that the group at a path may have. */
export function knownFields(path: readonly PropertyKey[]): readonly string[] {
  return fieldsAt(configuration, path);
}

/** The JSON Schema of gantry.yaml, for editors. */
export function configurationJsonSchema(): Record<string, unknown> {
  return jsonSchemaOf(configuration, 'Gantry configuration');
}
