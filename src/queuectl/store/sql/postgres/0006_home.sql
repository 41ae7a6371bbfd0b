-- Which database a supervisor was registered in. In a restored dump its row says that it is another store's.
-- oldest reader: 1

ALTER TABLE {schema}.workers ADD COLUMN home text; -- see store/identity.py; NULL: registered by an older release
