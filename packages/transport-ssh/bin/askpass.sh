#!/bin/sh
# What ssh runs instead of asking on a terminal; its question is the first argument. Only the passphrase of a key file is told, which
# ssh uses on this machine. A password, a host key ("yes/no"), the PIN of a token: no answer, which ssh takes for a refusal.
prefix="Enter passphrase for key '"
case $1 in
  "$prefix"*"': ") ;;
  *) exit 1 ;;
esac
# Where the passphrase is that of one key: ssh shows the first 100 bytes of its name.
key=${1#"$prefix"}
key=${key%"': "}
if [ -n "${GANTRY_SSH_KEY-}" ] && [ "$key" != "$GANTRY_SSH_KEY" ]; then
  [ "${#key}" -ge 100 ] || exit 1
  case $GANTRY_SSH_KEY in
    "$key"*) ;;
    *) exit 1 ;;
  esac
fi
printf '%s\n' "$GANTRY_SSH_PASSPHRASE"
