# Completes calls of gantry in bash: printed by "gantry completion bash".
#
# Bash takes a word apart at the characters of COMP_WORDBREAKS, such as the colon of libvirt:web1, and replaces the last
# part alone ($2): what comes before it is cut from each suggestion.

_gantry() {
  local answer line paths word cut value path
  mapfile -t answer < <("${1/#\~\//$HOME/}" complete --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
  COMPREPLY=()
  [[ ${#answer[@]} -gt 0 ]] || return 0
  paths=${answer[0]%%$'\t'*} word=${answer[0]#*$'\t'} cut=
  [[ $word == *"$2" ]] && cut=${word%"$2"}
  for line in "${answer[@]:1}"; do
    value=${line%%$'\t'*}
    COMPREPLY+=("${value#"$cut"}")
    [[ $value == *[:/=] ]] && compopt -o nospace
  done
  [[ $paths != none ]] || return 0
  [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o filenames
  while IFS= read -r path; do
    [[ -n $path ]] || continue
    if [[ ${#answer[@]} -gt 1 ]]; then
      if [[ -d ${path/#\~\//$HOME/} ]]; then
        path+=/
        compopt -o nospace
      fi
      _gantry_quote || continue
    fi
    COMPREPLY+=("$path")
  done < <(compgen "-${paths:0:1}" -- "$2")
}

# Quotes $path, which is a name of somebody else's: without "compopt -o filenames", bash inserts it as it is. Fails for one
# that cannot stand within the quotes that were typed.
_gantry_quote() {
  [[ $path == *[!A-Za-z0-9_./~@%+=:,-]* ]] || return 0
  if [[ ${COMP_WORDS[COMP_CWORD]} == [\"\']* ]]; then
    [[ $path != *[!A-Za-z0-9_./~@%+=:,\ -]* ]]
  elif [[ $path == '~/'* ]]; then
    printf -v path '~/%q' "${path:2}"
  else
    printf -v path %q "$path"
  fi
}

complete -F _gantry gantry
