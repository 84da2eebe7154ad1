/**
 * Arguments of unshare(1) for a mount namespace of one's own, in which what other tests unmount disappears too: in a private copy of
 * their mounts, a file system would stay mounted, and its image in use, until the namespace ends. That needs mounts that are shared, as
 * they are where systemd runs; scripts/test.sh starts the tests in a namespace in which they are.
 */
export const OWN_MOUNTS: readonly string[] = ['--mount', '--propagation', 'slave'];
