import type { PeerEvent } from '../peer/messages.ts';
import type { Reporter } from '../report/reporter.ts';
import { terminalSafe } from '../report/terminal-text.ts';

const MAX_PEER_WARNINGS = 1000;

/** Relays script output and warnings of the peer. The number of warnings is limited, since they are kept for the result. */
export function relayTo(reporter: Reporter): (event: PeerEvent) => void {
  let warnings = 0;
  return ({ script, stream = 'stderr', disk, text }) => {
    const line = terminalSafe(text);
    if (script !== undefined) {
      const about = disk === undefined ? {} : { disk };
      reporter.emit({ type: 'message', operation: reporter.operation, script: terminalSafe(script), stream, line, ...about });
    } else if (warnings < MAX_PEER_WARNINGS) {
      warnings += 1;
      reporter.warn(line, disk);
    }
  };
}
