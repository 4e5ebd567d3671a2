# Completion of fs_cli for bash: options, and commands behind -x as the running switch knows them.
_fs_cli() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    case $previous in
        -x | --execute)
            mapfile -t COMPREPLY < <(compgen -W "$(fs_cli -t 500 -T 500 -x 'show api as delim |' 2>/dev/null | sed -n '2,${s/|.*//p}')" -- "$word")
            return ;;
        -l | --loglevel) mapfile -t COMPREPLY < <(compgen -W "console alert crit err warning notice info debug" -- "$word"); return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "-H --host -P --port -u --user -p --password -x --execute -t --timeout -T --connect-timeout
        -r --retry -R --reconnect -l --loglevel -q --quiet -U --log-uuid -S --log-uuid-short -s --set-log-uuid -h --help" -- "$word")
}
complete -F _fs_cli fs_cli
