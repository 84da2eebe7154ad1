# Keeps what the script was given, as the kernel has it: a shell adds variables of its own to what it hands on.
mkdir -p environments
cat "/proc/$$/environ" >"environments/${0##*/}.${EXPORT_INDEX-${IMPORT_INDEX-x}}"
