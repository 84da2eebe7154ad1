import type { ArgumentSpec } from '../command-line/command.ts';

/** What a value may be, as far as that can be suggested. */
export type ValueKind =
  | 'instance'
  | 'store'
  | 'stored instance'
  | 'export'
  | 'source'
  | 'policy'
  | 'peer'
  | 'os'
  | 'document'
  | 'shell'
  | 'file'
  | 'directory';

/** By the word in the brackets of an argument or option. */
const KINDS: Readonly<Record<string, ValueKind>> = {
  base: 'export',
  directory: 'directory',
  document: 'document',
  export: 'export',
  file: 'file',
  first: 'export',
  instance: 'instance',
  os: 'os',
  path: 'file',
  peer: 'peer',
  policies: 'policy',
  policy: 'policy',
  second: 'export',
  shell: 'shell',
  source: 'source',
  store: 'store',
};

/** Where the word in the brackets means something else: arguments by command, options by their names. */
const EXCEPTIONS: Readonly<Record<string, ValueKind>> = {
  'copy source': 'store',
  'copy target': 'store',
  'mirror source': 'store',
  'mirror target': 'store',
  'report more': 'store',
  'os show name': 'os',
  'os check name': 'os',
  '--allow-os': 'os',
};

/** The kinds of a command's arguments. An instance after a store is one that has exports there. */
export function kindsOfArguments(command: string, specs: readonly ArgumentSpec[]): readonly (ValueKind | undefined)[] {
  const kinds = specs.map((spec) => {
    const word = spec.slice(1, -1).replace(/\.\.\.$/, '');
    return EXCEPTIONS[`${command} ${word}`] ?? KINDS[word];
  });
  return kinds.map((kind, index) =>
    kind === 'instance' && kinds.indexOf('store') !== -1 && kinds.indexOf('store') < index ? 'stored instance' : kind,
  );
}

/** The kind of an option's value. @param flags as commander reads them */
export function kindOfOption(flags: string): ValueKind | undefined {
  const [, long = '', word = ''] = /(--[\w-]+) [<[]([\w-]+)[>\]]$/.exec(flags) ?? [];
  return EXCEPTIONS[long] ?? KINDS[word];
}
