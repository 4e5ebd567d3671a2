# Completion of ferroswitch's command line for bash.
_ferroswitch() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    case $previous in
        -base | -conf | -log | -run | -db | -sounds | -recordings | -storage | -cache | -certs | -scripts | -temp | -mod | -htdocs | -grammar | --in | --dir)
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return ;;
        -u) mapfile -t COMPREPLY < <(compgen -u -- "$word"); return ;;
        -g) mapfile -t COMPREPLY < <(compgen -g -- "$word"); return ;;
        -loglevel) mapfile -t COMPREPLY < <(compgen -W "console alert crit err warning notice info debug" -- "$word"); return ;;
    esac
    local words
    case $verb in
        check) words="--json --report --strict --verbose --help" ;;
        explain) words="--destination --context --user --caller --caller-name --set --field --global --types --api --time --zone --in --json --verbose --help" ;;
        dialplan) words="test --in --coverage --help" ;;
        sounds) words="--dir --help" ;;
        *)
            words="-nc -ncwait -nf -c -stop -drain -elegant-term -u -g -core -nosql -version -help -loglevel -log-json -base -conf
                -log -run -db -sounds -recordings -storage -cache -certs -scripts -temp -mod -htdocs -grammar -cfgname"
            [[ $COMP_CWORD == 1 ]] && words+=" check explain dialplan sounds audit cli" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ $verb == check || $verb == dialplan ]] && mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word")
}
complete -o filenames -F _ferroswitch ferroswitch
