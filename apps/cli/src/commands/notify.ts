import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { STATE } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Report what a failed run of a policy could not report itself, as notify and metrics in gantry.yaml say: that it was killed, that gantry.yaml cannot be read (by mail to root), or lacks the policy. Runs that ended have reported themselves. systemd calls it when gantry-run@POLICY.service fails.',
  arguments: ['<policy>'],
  options: { ...STATE },
  examples: ['gantry notify nightly'],
  run: async (session, words) => (await import('../runs/notify.ts')).run(session, words),
});

export default command;
