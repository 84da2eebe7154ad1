/** Files that the command uses besides those of its arguments, for gantry(1). */
export const FILES: readonly (readonly [name: string, meaning: string])[] = [
  ['/etc/gantry/gantry.yaml, /etc/gantry/conf.d/*.yaml', 'the configuration of the system: see gantry.yaml(5)'],
  ['$XDG_CONFIG_HOME/gantry/gantry.yaml, ~/.config/gantry/gantry.yaml', 'the configuration of the user'],
  ['/var/lib/gantry', 'locks and the journal of runs, for root'],
  ['/srv/ganeti/os, /usr/local/lib/ganeti/os, /usr/lib/ganeti/os, /usr/share/ganeti/os', 'OS definitions'],
  ['~/.cache/gantry', 'compiled code for the next call, if nobody else can write to it; it can be removed'],
];
