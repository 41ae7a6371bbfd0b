program make 'test -n "$1" || sleep 3'
stub report; stub page-somebody; stub deploy
queuectl enqueue --id docs --hold -- true
queuectl worker start --detach
