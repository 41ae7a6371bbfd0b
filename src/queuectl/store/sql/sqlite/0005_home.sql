-- Which store a supervisor was registered in. In a copy of the file its row says that it is another store's.
-- oldest reader: 2

ALTER TABLE workers ADD COLUMN home TEXT;       -- see store/identity.py; NULL: registered by an older release
