import type { Mutant } from '../mutant.ts';
import { mutantsOf } from '../mutant.ts';

const TESTS = {
  prune: 'packages/core/src/operations/prune.test.ts',
  removed: 'packages/core/src/exports/removed.test.ts',
} as const;

/** What removals and prunes leave where it is. */
export const REMOVAL_GUARDS: readonly Mutant[] = mutantsOf('packages/core/src/exports', TESTS, [
  [
    'packs that exports refer to stay when their export is removed',
    'remove-export.ts',
    'return packs.filter((name) => !uses.has({ instance, exportId: id, name }));',
    'return [...packs];',
    'removed',
  ],
  [
    'nothing is deleted where it is not clear what exports refer to',
    'remove-export.ts',
    'const unused = before.unclear.length > 0 ? [] : namesOf',
    'const unused = before.unclear.length > 1000 ? [] : namesOf',
    'removed',
  ],
  [
    'a claim keeps the packs of its parents',
    'pack-uses.ts',
    'for (const parent of parents) this.#owners.add(parent);',
    'for (const parent of parents) this.#owners.delete(parent);',
    'removed',
  ],
  [
    'packs are deleted only by the run after the one that marked them',
    'prune-plan.ts',
    'return marked !== undefined && isSameObject(marked, files.get(name));',
    'return marked === undefined || isSameObject(marked, files.get(name));',
    'prune',
  ],
  [
    'the packs of exports that stay are not deleted by prune',
    'prune-plan.ts',
    'isMarked(pack) && !now.has({ instance, exportId: id, name: pack.name })',
    'isMarked(pack)',
    'prune',
    'a marked pack',
  ],
  [
    'the packs to which exports of other instances refer are not deleted by prune',
    'prune-plan.ts',
    'directory.gone = directory.gone.filter(({ name }) => !now.has({ instance, exportId: id, name }));',
    '',
    'prune',
    'a marked pack',
  ],
  [
    'a damaged export does not count as one that is kept',
    'prune-plan.ts',
    'if (problem === undefined) complete.push(retained(manifest));\n      else ',
    'complete.push(retained(manifest));\n      if (problem !== undefined) ',
    'prune',
  ],
  [
    'a pack that is marked as unused gets no new use',
    'usable-packs.ts',
    'if (before.has(`${prefix}${unusedMark(name)}`) || now.has(`${prefix}${unusedMark(name)}`)) return false;',
    '',
    'removed',
  ],
  [
    'an export that gets a tag meanwhile is not removed',
    'removed.ts',
    'if (isKept(await readDirectory(store, place, options))) {',
    "if (isKept(await readDirectory(store, place, options)) && runId === '') {",
    'prune',
  ],
]);
