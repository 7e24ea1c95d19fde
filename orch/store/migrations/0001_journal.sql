-- The journal: one row per record. crc is zlib.crc32 of body, because SQLite checks pages only in its log.
CREATE TABLE journal (
    idx   INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    crc   INTEGER NOT NULL,
    body  BLOB NOT NULL
);
