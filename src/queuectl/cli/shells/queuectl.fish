# Completion of queuectl in fish. What may come next says queuectl itself, from its tables and the store.
function __queuectl_complete
    set -l words (commandline -opc)
    set -l part (commandline -ct)
    set -l program $words[1]
    command -q -- $program; or set program queuectl
    for line in (command $program __complete fish $words[2..-1] $part 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $part
            case :folders
                __fish_complete_directories $part
            case :programs
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end
complete -c queuectl -f -k -a '(__queuectl_complete)'
