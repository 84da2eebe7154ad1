import { resolve } from 'node:path';
import { importInstance, loadInstanceFile } from '@gantry/core';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { CommonOptions, Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export interface ImportOptions extends CommonOptions {
  readonly to: string;
  readonly disk?: readonly number[];
  readonly parallel?: number;
  readonly allowOtherOs?: boolean;
  readonly checkFirst?: boolean;
}

export async function importDisks(session: Session, args: readonly string[], options: ImportOptions): Promise<void> {
  const started = performance.now();
  const instance = await loadInstanceFile(resolve(session.cwd, options.to), { signal: session.signal });
  await using store = await session.open(argument(args, 0));
  const result = await importInstance({
    ...session.operation,
    instance,
    store,
    export: argument(args, 1),
    ...(options.disk === undefined ? {} : { disks: options.disk }),
    ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
    checkFirst: options.checkFirst === true,
    allowOtherOs: options.allowOtherOs === true,
    forceInUse: options.forceInUse === true,
  });
  const text = `${result.reference} imported into ${instance.name}: ${formatBytes(result.plainBytes)} in ${formatDuration(performance.now() - started)}`;
  session.output.result({ operation: 'import', ...result }, text);
}
