import { InventoryError } from '@gantry/core/inventory';
import { z } from 'zod';

/*
 * The parts of Ganeti's answers that are used. Other fields may be there, and change from version to version.
 */

const text = z.string();
const optionalText = z.string().nullish();
const parameters = z.record(z.string(), z.unknown());

/** `/2/instances?bulk=1`, `/2/instances/N`, `QueryInstances` */
const summary = z.object({
  name: text,
  uuid: optionalText,
  os: optionalText,
  hypervisor: optionalText,
  pnode: optionalText,
  status: optionalText,
  'disk.sizes': z.array(z.unknown()).nullish(),
  tags: z.array(text).nullish(),
});

export type SummaryAnswer = z.infer<typeof summary>;

/** What blockdev_find says of a disk on a node: path, major, minor, sync percent, … */
const status = z.tuple([z.string()]).rest(z.unknown()).nullish();

const disk = z.object({
  dev_type: text,
  logical_id: z.array(z.unknown()).nullish(),
  drbd_info: z.object({ primary_minor: z.int(), secondary_node: optionalText, secondary_minor: z.int() }).nullish(),
  pstatus: status,
  sstatus: status,
  /** The same again: the volumes under a DRBD device. */
  get children() {
    return z.array(disk).nullish();
  },
  mode: text,
  size: z.int(),
  name: optionalText,
  uuid: optionalText,
});

export type DiskAnswer = z.infer<typeof disk>;

const network = z.object({
  name: text,
  uuid: optionalText,
  network: optionalText,
  gateway: optionalText,
  network6: optionalText,
  gateway6: optionalText,
  mac_prefix: optionalText,
  tags: z.array(text).nullish(),
});

/** name, uuid, ip, mac, mode, link, vlan, UUID of the network, network */
const nic = z
  .tuple([optionalText, optionalText, optionalText, text, text, optionalText, optionalText, optionalText, network.nullish()])
  .rest(z.unknown());

export type NicAnswer = z.infer<typeof nic>;

/** What the job OP_INSTANCE_QUERY_DATA says of an instance. */
const details = z.object({
  name: text,
  uuid: text,
  os: text,
  hypervisor: text,
  /** `up`, `down`, `user down` or `offline`; null where its node cannot be asked. */
  run_state: optionalText,
  pnode: text,
  snodes: z.array(text),
  disk_template: text,
  disks: z.array(disk),
  nics: z.array(nic),
  os_actual: parameters,
  be_actual: parameters,
  hv_actual: parameters,
});

export type DetailsAnswer = z.infer<typeof details>;

const info = z.object({ hvparams: z.record(z.string(), parameters) });

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
export function parseHypervisorParameters(value: unknown, hypervisor: string, from: string): Readonly<Record<string, unknown>> {
  return parse(info, value, `${from}, the cluster's parameters`).hvparams[hypervisor] ?? {};
}
