import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH, STATE, text, texts } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Receive an instance from gantry move on another machine, through standard input and output. It is started by gantry move, or as a forced command in authorized_keys.',
  arguments: [],
  options: {
    ...STATE,
    ...OS_PATH,
    allowInstance: texts('--allow-instance <pattern>', 'allow only instances whose name here matches; * matches any text'),
    allowOs: texts('--allow-os <name>', 'allow only this OS definition'),
    instanceDirectory: text('--instance-directory <directory>', 'allow only instance files in this directory; --to is relative to it'),
    allowDefine: texts('--allow-define <source>', 'allow that instances are defined and started in this source; * matches any text'),
    outcome: text('--outcome <move-id>', 'only show whether this move was committed here'),
  },
  examples: [
    'gantry receive --allow-instance "web*" --allow-os debootstrap --instance-directory /etc/gantry',
    'gantry receive --outcome 0123456789abcdef0123456789abcdef',
  ],
  run: async (...call) => (await import('../runs/receive.ts')).run(...call),
});

export default command;
