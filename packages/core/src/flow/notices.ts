import { z } from 'zod';
import { quoteWord } from '../report/quote-word.ts';
import type { Notice } from '../runs/undo.ts';

/*
 * What a killed run leaves where instances are described cannot be undone later: an administrator may have done something about it
 * meanwhile, and a guest that is started twice destroys its disks. So it is said, with what to do.
 */

/** An instance that a run was about to define, or to start, in a source. */
export type DefinitionRecord = {
  readonly kind: 'definition';
  readonly source: string;
  readonly name: string;
  readonly step: 'define' | 'start';
  /** Of the move that brought its disks. */
  readonly moveId?: string | undefined;
};

/** A moved instance that a run was about to stop, or to remove, in the source that describes it. */
export type OriginRecord = {
  readonly kind: 'origin';
  readonly source: string;
  readonly name: string;
  readonly moveId: string;
  /** `stop`: the peer cannot have committed yet. `commit`: only the peer knows. `undefine`: it has committed. */
  readonly step: 'stop' | 'commit' | 'undefine';
};

/** A new instance that its source makes for a run, and whose disks get their data. */
export type NewInstanceRecord = {
  readonly kind: 'new-instance';
  readonly source: string;
  readonly name: string;
  /** Marks it in the source until it is complete. */
  readonly token: string;
};

const newInstanceSchema: z.ZodType<NewInstanceRecord> = z.object({
  kind: z.literal('new-instance'),
  source: z.string(),
  name: z.string(),
  token: z.string(),
});

const definitionSchema: z.ZodType<DefinitionRecord> = z.object({
  kind: z.literal('definition'),
  source: z.string(),
  name: z.string(),
  step: z.enum(['define', 'start']),
  moveId: z.string().optional(),
});

const originSchema: z.ZodType<OriginRecord> = z.object({
  kind: z.literal('origin'),
  source: z.string(),
  name: z.string(),
  moveId: z.string(),
  step: z.enum(['stop', 'commit', 'undefine']),
});

export const definitionNotice: Notice = {
  kind: 'definition',
  describe(record) {
    const { source, name, step, moveId } = definitionSchema.parse(record);
    if (step === 'start') return `${name} is complete and defined in ${source}, and may not have been started: start it there`;
    if (moveId === undefined)
      return `the disks of ${name} are complete, but it may not be defined: look, and define it in ${source} by hand`;
    return `${name} may be defined in ${source} although its move was not committed (${askFor(moveId)}): remove it there if it was not`;
  },
};

export const originNotice: Notice = {
  kind: 'origin',
  describe(record) {
    const { source, name, step, moveId } = originSchema.parse(record);
    if (step === 'stop') return `${name} may have been stopped in ${source} for a move that was not committed: start it there again`;
    if (step === 'undefine') return `${name} was moved (committed), and ${source} may still know it: remove it there, and do not start it`;
    return `${name} is stopped in ${source}, and only the peer knows whether its move was committed: start it nowhere before you have asked there (${askFor(moveId)})`;
  },
};

export const newInstanceNotice: Notice = {
  kind: 'new-instance',
  describe(record) {
    const { source, name, token } = newInstanceSchema.parse(record);
    return `${name} may be in ${source} with disks that are not complete: if it has a tag that ends in ${token}, remove it there`;
  },
};

function askFor(moveId: string): string {
  return `gantry receive --outcome ${quoteWord(moveId)}`;
}
