touch a.mov b.mov
stub encode; stub publish
queuectl worker start --detach --count 2
