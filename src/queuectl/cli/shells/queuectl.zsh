#compdef queuectl
# Completion of queuectl in zsh. What may come next says queuectl itself, from its tables and the store.
_queuectl() {
    local line program=${(Q)words[1]}
    local -a said found begun
    (( $+commands[$program] )) || [[ -x $program ]] || program=queuectl
    said=("${(@f)$(command "$program" __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in $said; do
        case $line in
            '') ;;
            :files) _files ;;
            :folders) _files -/ ;;
            :programs) _command_names ;;
            *=|*=:*) begun+=("$line") ;;
            *) found+=("$line") ;;
        esac
    done
    (( ! $#begun )) || _describe -V queuectl begun -S ''
    (( ! $#found )) || _describe -V queuectl found
}
if [[ $funcstack[1] == _queuectl ]]; then
    _queuectl "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _queuectl queuectl
fi
