import type { InstanceOverrides } from '@gantry/core';
import { InvalidArgumentError } from 'commander';
import type { OptionValues } from './command.ts';
import type { OptionSpec } from './options.ts';
import { flag, OS_PARAMETERS, text } from './options.ts';

/** What `--disk` says, as often as it is given. */
export interface DiskChoices {
  /** Only these disks; all where absent. */
  readonly only?: readonly number[];
  /** By index. */
  readonly paths: ReadonlyMap<number, string>;
}

type NicChoices = ReadonlyMap<number, Readonly<Record<string, string>>>;

const NIC_FIELDS: ReadonlySet<string> = new Set(['mac', 'ip', 'mode', 'link', 'vlan']);

function parseDisk(value: string, { only, paths = new Map<number, string>() }: Partial<DiskChoices> = {}): DiskChoices {
  const [, digits, path] = /^(\d{1,9})(?:=(.+))?$/s.exec(value) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('It must be a whole number, 0 or more, or N=PATH.');
  const index = Number(digits);
  if (path !== undefined) return { ...(only === undefined ? {} : { only }), paths: new Map([...paths, [index, path]]) };
  return { only: [...(only ?? []), index], paths };
}

function parseNic(value: string, previous: NicChoices = new Map()): NicChoices {
  const [, digits, list = ''] = /^(\d{1,9}):(.+)$/s.exec(value) ?? [];
  const fields = list.split(',').map((field) => field.split(/=(.*)/s));
  if (digits === undefined || !fields.every(([key = '', text]) => NIC_FIELDS.has(key) && text !== undefined)) {
    const names = [...NIC_FIELDS].join(', ');
    throw new InvalidArgumentError(`It must be N:FIELD=VALUE, such as 0:mac=generate. Fields are ${names}, with commas between several.`);
  }
  const index = Number(digits);
  const given = Object.fromEntries(fields.map(([key = '', text = '']) => [key, text]));
  return new Map([...previous, [index, { ...previous.get(index), ...given }]]);
}

/** What an import may say of its target in the place of an instance file, or besides one. */
export const TARGET: typeof OS_PARAMETERS & {
  readonly disk: OptionSpec<DiskChoices | undefined>;
  readonly createDisks: OptionSpec<true | undefined>;
  readonly name: OptionSpec<string | undefined>;
  readonly nic: OptionSpec<NicChoices | undefined>;
} = {
  ...OS_PARAMETERS,
  disk: {
    flags: '--disk <n>',
    description: 'import only disk n; as N=PATH: disk N of the target is at that path; may repeat',
    parse: parseDisk,
  },
  createDisks: flag(
    '--create-disks',
    'create disks that are missing: files, or volumes /dev/GROUP/VOLUME; enlarge files that are too short',
  ),
  name: text('--name <name>', 'without --to: the name of the instance, in the place of the exported one'),
  nic: {
    flags: '--nic <n:field=value>',
    description: 'a field of NIC n: mac (or generate), ip, mode, link, vlan; such as 0:mac=generate; may repeat',
    parse: parseNic,
  },
};

/** Undefined where nothing of the instance is to be replaced. */
export function overridesOf({
  disk,
  name,
  nic,
  os,
  parameter: osparams,
}: OptionValues<typeof TARGET> & { readonly os: string | undefined }): InstanceOverrides | undefined {
  const paths = disk === undefined || disk.paths.size === 0 ? undefined : disk.paths;
  if ([paths, name, nic, os, osparams].every((each) => each === undefined)) return undefined;
  return { disks: paths, name, nics: nic, os, osparams };
}
