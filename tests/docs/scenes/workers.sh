queuectl worker start --detach --name night
