#!/bin/sh
# ssh runs this instead of asking on a terminal; the question is the first argument. It answers only for the passphrase of a key file,
# which ssh uses on this machine. For a password, a host key ("yes/no") or the PIN of a token it fails, which ssh takes as a refusal.
prefix="Enter passphrase for key '"
case $1 in
  "$prefix"*"': ") ;;
  *) exit 1 ;;
esac
# If the passphrase belongs to one key: ssh shows the first 100 bytes of its name.
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
