#compdef gantry
# Completes calls of gantry in zsh: printed by "gantry completion zsh".
compdef _gantry gantry

_gantry() {
  local program=${(Q)words[1]} line value text paths
  local -a before answer items open
  (( CURRENT > 2 )) && before=("${(@Q)words[2,CURRENT-1]}")
  answer=("${(@f)$("${program/#\~\//$HOME/}" complete -- "${(@)before}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
  paths=${answer[1]%%$'\t'*}
  for line in "${(@)answer[2,-1]}"; do
    value=${line%%$'\t'*} text=${line#*$'\t'}
    value=${value//:/\\:}
    [[ -n $text ]] && value+=:$text
    if [[ ${line%%$'\t'*} == *[:/=] ]]; then
      open+=("$value")
    else
      items+=("$value")
    fi
  done
  (( ${#items} )) && _describe -V 'gantry' items
  (( ${#open} )) && _describe -V 'gantry' open -S ''
  [[ $PREFIX == --*=* ]] && compset -P '*='
  case $paths in
    files) _files ;;
    directories) _files -/ ;;
  esac
}

# Sourced, it is registered above; from a directory of $fpath, it is called at once.
[[ $funcstack[1] = _gantry ]] && _gantry "$@"
