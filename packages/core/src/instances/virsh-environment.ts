/** What libvirt's clients read of the environment: where the socket of a user's libvirt is, and the keys for another host. */
const HANDED_ON = ['PATH', 'HOME', 'USER', 'SSH_AUTH_SOCK', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME'];

/** The environment of every `virsh`: only PATH, HOME and what ssh and libvirt read are handed on. */
export function virshEnvironment(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const handedOn = HANDED_ON.flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...Object.fromEntries(handedOn), LC_ALL: 'C' };
}
