import type { Codec } from '@gantry/core';
import { CODEC_NAMES, DEFAULT_CODEC, describeLevels } from '@gantry/core';
import type { OptionSpec } from './options.ts';
import { choice, negatableFlag, orVariable, texts, wholeNumber } from './options.ts';

type Flag = OptionSpec<boolean | undefined>;
type Count = OptionSpec<number | undefined>;

/** How exports are made; gantry.yaml can say the same. */
export const EXPORT: {
  readonly codec: OptionSpec<Codec | undefined>;
  readonly level: Count;
  readonly incremental: Flag;
  readonly trackChanges: Flag;
  readonly patches: Flag;
  readonly fullEvery: Count;
  readonly withPrivate: Flag;
  readonly recipient: OptionSpec<readonly string[] | undefined>;
  readonly recipientsFile: OptionSpec<readonly string[] | undefined>;
} = {
  codec: orVariable('GANTRY_CODEC', choice('--codec <codec>', `how dumps are compressed (default ${DEFAULT_CODEC})`, CODEC_NAMES)),
  level: orVariable('GANTRY_LEVEL', wholeNumber('--level <n>', `level of the codec: ${describeLevels()}`)),
  incremental: negatableFlag('GANTRY_INCREMENTAL', '--incremental', 'store only what earlier exports of the instance lack'),
  trackChanges: negatableFlag(
    'GANTRY_TRACK_CHANGES',
    '--track-changes',
    'with --incremental: read only what changed, where the kind of snapshot can say what (os: raw)',
  ),
  patches: negatableFlag(
    'GANTRY_PATCHES',
    '--patches',
    'with --incremental: store a changed frame as its difference from the earlier one, which is read back (default)',
  ),
  fullEvery: orVariable(
    'GANTRY_FULL_EVERY',
    wholeNumber('--full-every <n>', 'with --incremental: make a full export once n exports follow each other, the full one counted'),
  ),
  withPrivate: negatableFlag(
    'GANTRY_WITH_PRIVATE',
    '--with-private',
    'include private OS parameters and secret native files in the export (default for sealed exports)',
  ),
  recipient: orVariable('GANTRY_RECIPIENT', texts('--recipient <recipient>', 'seal the export: encrypt it to this public key of age')),
  recipientsFile: orVariable(
    'GANTRY_RECIPIENTS_FILE',
    texts('--recipients-file <file>', 'seal the export: encrypt it to the public keys of age in this file'),
  ),
};
