/** An exit code: what it means in a word or two, for help, and in a sentence, for manual pages. `docs/reference/errors.md` has the errors. */
export interface ExitCode {
  readonly code: string;
  readonly short: string;
  readonly meaning: string;
}

export const EXIT_CODES: readonly ExitCode[] = [
  { code: '0', short: 'done', meaning: 'Everything was done.' },
  { code: '1', short: 'internal', meaning: 'A defect in Gantry: please report it.' },
  { code: '2', short: 'usage', meaning: 'The call is wrong; nothing was done.' },
  { code: '3', short: 'instance', meaning: 'The instance file is wrong, or the source of instances cannot be used.' },
  { code: '4', short: 'OS definition', meaning: 'The OS definition is not there, is broken, or does not fit.' },
  { code: '5', short: 'disk or snapshot', meaning: 'A disk cannot be used, or a snapshot cannot be taken.' },
  { code: '6', short: 'script', meaning: 'A script of the OS definition failed.' },
  { code: '7', short: 'damaged data', meaning: 'What is stored is damaged, or not what it should be.' },
  { code: '8', short: 'store', meaning: 'The store cannot be used.' },
  { code: '9', short: 'not found', meaning: 'The export, instance or move is not there.' },
  { code: '10', short: 'busy', meaning: 'Something else uses it: try again later.' },
  { code: '11', short: 'this machine', meaning: 'This machine lacks something.' },
  { code: '12', short: 'peer', meaning: 'The peer cannot be reached, or refused or failed.' },
  { code: '13', short: 'move undecided', meaning: 'The connection was lost during the commit: start the instance on neither side.' },
  { code: '14', short: 'not confirmed', meaning: 'Overwriting was not confirmed; nothing was written.' },
  { code: '15', short: 'not defined', meaning: 'The disks are complete, but the instance could not be defined or started.' },
  { code: '16', short: 'partly done', meaning: 'A part of what was asked for failed, and the rest is complete.' },
  { code: '17', short: 'late', meaning: 'The last good export of an instance is older than its policy promises, or missing.' },
  { code: '128+N', short: 'ended by signal N', meaning: 'Signal N ended it, after cleanup.' },
];
