export TZ=Europe/Berlin
queuectl worker start --detach
