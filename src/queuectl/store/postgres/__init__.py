"""The PostgreSQL store: the same promises for workers on any number of machines."""
