#!/bin/sh
# What ssh asks for the passphrase of a key: prints the variable.
printf '%s\n' "$GANTRY_SSH_PASSPHRASE"
