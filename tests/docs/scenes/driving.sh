program make
GIT_COMMIT=8c1f
queuectl worker start --detach
