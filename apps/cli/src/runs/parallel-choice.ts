import type { Session } from '../session.ts';

/** How many disks at once: what the option says, else what the environment and gantry.yaml say for that store, which is read or written. */
export async function parallelOf(
  session: Session,
  { parallel }: { readonly parallel: number | undefined },
  store: string,
  access: 'read' | 'write' = 'write',
): Promise<number | undefined> {
  return parallel ?? (await session.settings({ store }, access)).parallel;
}
