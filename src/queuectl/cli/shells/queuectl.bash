# Completion of queuectl in bash. What may come next says queuectl itself, from its tables and the store.
_queuectl() {
    local line program=$1
    type -P -- "$program" >/dev/null || program=queuectl
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o bashdefault -o default ;;
            :folders) compopt -o dirnames ;;
            :programs) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
            *)
                COMPREPLY+=("$line")
                [[ $line != *= ]] || compopt -o nospace
                ;;
        esac
    done < <(command "$program" __complete bash "$COMP_LINE" "$COMP_POINT" "$2" 2>/dev/null)
}
complete -o nosort -F _queuectl queuectl
