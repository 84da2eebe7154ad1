import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description:
    'Print the script with which bash, zsh or fish completes calls of gantry: commands, options and their values, files, exports in stores, instances. For bash, put it into /etc/bash_completion.d or source it in .bashrc; for zsh, into a directory of $fpath, as _gantry; for fish, into ~/.config/fish/completions.',
  arguments: ['<shell>'],
  options: {},
  examples: [
    'gantry completion bash > /etc/bash_completion.d/gantry',
    'gantry completion zsh > /usr/local/share/zsh/site-functions/_gantry',
    'gantry completion fish > ~/.config/fish/completions/gantry.fish',
  ],
  run: async (session, args) => (await import('../runs/completion.ts')).run(session, args),
});

export default command;
