import type { OsDefinitionFiles } from './write-os-definition.ts';

/*
 * Definitions that do one thing wrong, or lack one thing. Scripts that are not named here are correct.
 */

const READS_ALL = '#!/bin/sh\nexec cat >/dev/null\n';

const failing = (status: number, before = ''): string => `#!/bin/sh
${before}
echo "the disk is on fire" >&2
exit ${String(status)}
`;

const NEVER_ENDS = '#!/bin/sh\necho "at it" >&2\nexec sleep 1000000\n';

/** It and its child ignore SIGTERM; the child is in its own process group, as with timeout(1). */
const STUBBORN = `#!/bin/sh
trap '' TERM INT HUP
timeout --signal=KILL 1000000 sleep 1000000 &
echo "at it: $$ $!" >&2
wait
`;

export const FAULTY_DEFINITIONS: Readonly<Record<string, OsDefinitionFiles>> = {
  /** Every script exits with 3, after some data. */
  'exit-status': {
    create: failing(3),
    export: failing(3, 'head -c 100000 "$EXPORT_DEVICE"'),
    import: failing(3, 'cat >/dev/null'),
    rename: failing(3),
    verify: failing(3),
  },
  /** Every script dies by SIGKILL. */
  killed: {
    create: '#!/bin/sh\nkill -KILL $$\n',
    export: '#!/bin/sh\nhead -c 100000 "$EXPORT_DEVICE"\nkill -KILL $$\n',
    import: '#!/bin/sh\ncat >/dev/null\nkill -KILL $$\n',
    rename: '#!/bin/sh\nkill -KILL $$\n',
    verify: '#!/bin/sh\nkill -KILL $$\n',
  },
  /** The data is complete before the script fails. */
  'closes-stdout': { export: failing(4, 'cat "$EXPORT_DEVICE"\nexec >&-') },
  /** Succeeds without a byte of data. */
  silent: { export: '#!/bin/sh\nexit 0\n', import: READS_ALL },
  /** Every script waits forever, export and import after their data; it ends on SIGTERM. */
  'never-ends': {
    create: NEVER_ENDS,
    export: '#!/bin/sh\ncat "$EXPORT_DEVICE"\necho "at it" >&2\nexec sleep 1000000\n',
    import: '#!/bin/sh\ncat >/dev/null\necho "at it" >&2\nexec sleep 1000000\n',
    rename: NEVER_ENDS,
    verify: NEVER_ENDS,
  },
  /** Waits forever, and must be killed. Prints `at it: PID PID` with its own pid and its child's. */
  stubborn: { create: STUBBORN, export: STUBBORN, import: STUBBORN, rename: STUBBORN, verify: STUBBORN },
  /** The size that it announces is not a number. */
  'rubbish-size': { export: '#!/bin/sh\necho "a lot" >&"$EXP_SIZE_FD"\nexec cat "$EXPORT_DEVICE"\n' },
  /** Reads only the first thousand bytes. */
  'early-exit': { import: '#!/bin/sh\nhead -c 1000 >/dev/null\nexit 0\n' },
  /** Leaves a process in the background without any of its streams. */
  'leaves-children': {
    create: '#!/bin/sh\nsleep 1000000 </dev/null >/dev/null 2>&1 &\n',
    export: '#!/bin/sh\nsleep 1000000 </dev/null >/dev/null 2>&1 3>&- &\nexec cat "$EXPORT_DEVICE"\n',
  },
  /** Leaves a process in the background that keeps its stdout open. */
  'holds-stdout': { export: '#!/bin/sh\nsleep 1000000 &\nexec cat "$EXPORT_DEVICE"\n' },
  /** Can only install. */
  'create-only': { export: null, import: null, rename: null },
  /** Made for one hypervisor. */
  'kvm-only': { hypervisors: '# tested with\nkvm\n' },
  /** From a future version. */
  'api-99': { ganeti_api_version: '99\n' },
  /** Broken in three ways. */
  broken: { ganeti_api_version: 'twenty\n', create: { text: '#!/bin/sh\n', mode: 0o644 }, import: null },
};
