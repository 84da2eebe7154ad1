# Completes calls of gantry in fish: printed by "gantry completion fish".

function __gantry_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l answer (command $program complete -- $words[2..-1] "$current" 2>/dev/null </dev/null)
    set -q answer[1]; or return
    set -q answer[2]; and printf '%s\n' $answer[2..-1]
    set -l option (string match -r -- '^--[^=]*=' "$current")
    set -l start (string replace -r -- '^--[^=]*=' '' "$current")
    switch $answer[1]
        case 'files*'
            printf "$option%s\n" (__fish_complete_path "$start")
        case 'directories*'
            printf "$option%s\n" (__fish_complete_directories "$start" '')
    end
end

complete -c gantry -f -a '(__gantry_complete)'
