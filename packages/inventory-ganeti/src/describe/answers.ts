import { InventoryError } from '@gantry/core/inventory';
import { z } from 'zod';

/*
 * The parts of Ganeti's answers that are used. Other fields may be there, and change from version to version.
 */

type Text = string | null | undefined;
type Fields = Readonly<Record<string, unknown>>;

const text = z.string();
const optionalText = z.string().nullish();
const fields = z.record(z.string(), z.unknown());

/** `/2/instances?bulk=1`, `/2/instances/N`, `QueryInstances` */
export interface SummaryAnswer {
  readonly name: string;
  readonly uuid?: Text;
  readonly os?: Text;
  readonly hypervisor?: Text;
  readonly pnode?: Text;
  readonly status?: Text;
  readonly 'disk.sizes'?: readonly unknown[] | null | undefined;
  readonly tags?: readonly string[] | null | undefined;
}

const summary: z.ZodType<SummaryAnswer> = z.object({
  name: text,
  uuid: optionalText,
  os: optionalText,
  hypervisor: optionalText,
  pnode: optionalText,
  status: optionalText,
  'disk.sizes': z.array(z.unknown()).nullish(),
  tags: z.array(text).nullish(),
});

/** What a node says of a disk: path, major, minor, sync percent and so on; null where it is not active. */
type DiskStatus = readonly [path: string, ...unknown[]] | null | undefined;

export interface DiskAnswer {
  readonly dev_type: string;
  readonly logical_id?: readonly unknown[] | null | undefined;
  readonly drbd_info?: { readonly primary_minor: number; readonly secondary_minor: number } | null | undefined;
  readonly pstatus?: DiskStatus;
  readonly sstatus?: DiskStatus;
  /** The volumes under a DRBD device. */
  readonly children?: readonly DiskAnswer[] | null | undefined;
  readonly mode: string;
  /** MiB */
  readonly size: number;
  readonly name?: Text;
  readonly uuid?: Text;
}

const status: z.ZodType<DiskStatus> = z.tuple([z.string()]).rest(z.unknown()).nullish();

const disk: z.ZodType<DiskAnswer> = z.object({
  dev_type: text,
  logical_id: z.array(z.unknown()).nullish(),
  drbd_info: z.object({ primary_minor: z.int(), secondary_minor: z.int() }).nullish(),
  pstatus: status,
  sstatus: status,
  children: z.lazy(() => z.array(disk).nullish()),
  mode: text,
  size: z.int(),
  name: optionalText,
  uuid: optionalText,
});

export interface NetworkAnswer {
  readonly name: string;
  readonly uuid?: Text;
  readonly network?: Text;
  readonly gateway?: Text;
  readonly network6?: Text;
  readonly gateway6?: Text;
  readonly mac_prefix?: Text;
  readonly tags?: readonly string[] | null | undefined;
}

const network: z.ZodType<NetworkAnswer> = z.object({
  name: text,
  uuid: optionalText,
  network: optionalText,
  gateway: optionalText,
  network6: optionalText,
  gateway6: optionalText,
  mac_prefix: optionalText,
  tags: z.array(text).nullish(),
});

export type NicAnswer = readonly [
  name: Text,
  uuid: Text,
  ip: Text,
  mac: string,
  mode: string,
  link?: Text,
  vlan?: Text,
  networkUuid?: Text,
  network?: NetworkAnswer | null | undefined,
  ...unknown[],
];

const nic: z.ZodType<NicAnswer> = z
  .tuple([optionalText, optionalText, optionalText, text, text, optionalText, optionalText, optionalText, network.nullish()])
  .rest(z.unknown());

/** What the job OP_INSTANCE_QUERY_DATA says of an instance. */
export interface DetailsAnswer {
  readonly name: string;
  readonly uuid: string;
  readonly os: string;
  readonly hypervisor: string;
  /** `up`, `down`, `user down` or `offline`; null where its node cannot be asked. */
  readonly run_state?: Text;
  readonly pnode: string;
  readonly snodes: readonly string[];
  readonly disk_template: string;
  readonly disks: readonly DiskAnswer[];
  readonly nics: readonly NicAnswer[];
  readonly os_actual: Fields;
  readonly be_actual: Fields;
  readonly hv_actual: Fields;
}

const details: z.ZodType<DetailsAnswer> = z.object({
  name: text,
  uuid: text,
  os: text,
  hypervisor: text,
  run_state: optionalText,
  pnode: text,
  snodes: z.array(text),
  disk_template: text,
  disks: z.array(disk),
  nics: z.array(nic),
  os_actual: fields,
  be_actual: fields,
  hv_actual: fields,
});

const info = z.object({ hvparams: z.record(z.string(), fields) });

/** @throws InventoryError `failed`, naming the field that is missing or something else */
function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  const place = issue === undefined || issue.path.length === 0 ? 'the answer' : issue.path.map(String).join('.');
  throw new InventoryError('failed', {
    message: `${what}: ${place} is missing, or something else than Ganeti 3.0 says there`,
    hint: 'Is it a newer Ganeti? Its version: gnt-cluster version',
  });
}

export function parseNames(value: unknown, from: string): readonly string[] {
  return parse(z.array(text), value, `${from}, names of instances`);
}

export function parseSummary(value: unknown, from: string): SummaryAnswer {
  return parse(summary, value, `${from}, an instance`);
}

export function parseSummaries(value: unknown, from: string): readonly SummaryAnswer[] {
  return parse(z.array(summary), value, `${from}, list of instances`);
}

/** @param results of the job, whose first one has the details by the name of the instance */
export function parseDetails(
  results: readonly unknown[],
  name: string,
  from: string,
): { readonly raw: unknown; readonly details: DetailsAnswer } {
  const byName = parse(z.record(z.string(), z.unknown()), results[0], `${from}, details of ${name}`);
  const raw = Object.hasOwn(byName, name) ? byName[name] : undefined;
  return { raw, details: parse(details, raw, `${from}, details of ${name}`) };
}

/** Parameters of a hypervisor for the whole cluster. */
export function parseHypervisorParameters(value: unknown, hypervisor: string, from: string): Fields {
  return parse(info, value, `${from}, the cluster's parameters`).hvparams[hypervisor] ?? {};
}
