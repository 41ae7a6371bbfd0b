queuectl init
queuectl enqueue --id nightly --hold -- ./backup
