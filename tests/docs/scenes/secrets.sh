mkdir -p ~/.config
