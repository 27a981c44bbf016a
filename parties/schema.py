"""The tables of a node's database: what brings it from one version to the next."""

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        id BLOB PRIMARY KEY, manifest BLOB NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
        attempt INTEGER NOT NULL DEFAULT 0, sealed INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL
    ) STRICT;
    CREATE TABLE signatures (
        session BLOB NOT NULL REFERENCES sessions(id), name TEXT NOT NULL, signature BLOB NOT NULL,
        PRIMARY KEY (session, name)
    ) STRICT;
    CREATE TABLE receipts (
        session BLOB NOT NULL REFERENCES sessions(id), member TEXT NOT NULL, node TEXT NOT NULL,
        rows INTEGER NOT NULL, digest_a BLOB NOT NULL, digest_b BLOB NOT NULL, signature BLOB NOT NULL,
        PRIMARY KEY (session, member, node)
    ) STRICT;
    CREATE TABLE contributions (
        session BLOB NOT NULL REFERENCES sessions(id), member TEXT NOT NULL, upload BLOB NOT NULL,
        rows INTEGER NOT NULL, seed_a BLOB NOT NULL, seed_b BLOB NOT NULL,
        digest_a BLOB NOT NULL, digest_b BLOB NOT NULL, PRIMARY KEY (session, member)
    ) STRICT;
    CREATE TABLE chunks (
        owner BLOB NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (owner, part)
    ) STRICT;
    CREATE TABLE results (
        session BLOB NOT NULL REFERENCES sessions(id), member TEXT NOT NULL, chunks BLOB NOT NULL,
        PRIMARY KEY (session, member)
    ) STRICT;
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY, at TEXT NOT NULL, session BLOB NOT NULL, event TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE matches (
        session BLOB NOT NULL, row INTEGER NOT NULL, pair BLOB NOT NULL, rule TEXT NOT NULL, counterpart TEXT NOT NULL,
        PRIMARY KEY (session, row, pair)
    ) STRICT;
    CREATE TABLE decisions (
        pair BLOB PRIMARY KEY, decision TEXT NOT NULL, note TEXT NOT NULL, reviewer TEXT NOT NULL, at TEXT NOT NULL,
        session BLOB NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE audit RENAME TO unsigned_audit;
    DROP TABLE receipts;
    DROP TABLE contributions;
    DELETE FROM results;
    DELETE FROM chunks;
    DELETE FROM signatures;
    DELETE FROM sessions;
    ALTER TABLE sessions DROP COLUMN sealed;
    ALTER TABLE sessions ADD COLUMN contributions BLOB;
    ALTER TABLE sessions ADD COLUMN ended TEXT;
    CREATE TABLE uploads (
        id BLOB PRIMARY KEY, session BLOB NOT NULL REFERENCES sessions(id), member TEXT NOT NULL,
        commitment BLOB NOT NULL, statement TEXT NOT NULL, seeds BLOB NOT NULL, complete INTEGER NOT NULL DEFAULT 0,
        UNIQUE (session, member, commitment)
    ) STRICT;
    CREATE TABLE statements (
        session BLOB NOT NULL REFERENCES sessions(id), kind TEXT NOT NULL, name TEXT NOT NULL, member TEXT NOT NULL,
        statement TEXT NOT NULL, PRIMARY KEY (session, kind, name, member)
    ) STRICT;
    CREATE TABLE told (
        session BLOB NOT NULL REFERENCES sessions(id), name TEXT NOT NULL, state TEXT NOT NULL,
        PRIMARY KEY (session, name)
    ) STRICT;
    CREATE TABLE consents (
        session BLOB NOT NULL, person TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (session, person)
    ) STRICT;
    CREATE TABLE known_records (
        session BLOB NOT NULL, contribution BLOB NOT NULL, digests BLOB NOT NULL, at TEXT NOT NULL,
        released INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (session, contribution)
    ) STRICT;
    CREATE TABLE entries (
        session BLOB NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL, event TEXT NOT NULL, facts TEXT NOT NULL,
        previous BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (session, number)
    ) STRICT;
    CREATE TABLE heads (
        session BLOB NOT NULL, node TEXT NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,
        signature BLOB NOT NULL, PRIMARY KEY (session, node, number, hash)
    ) STRICT;
    """,
    "CREATE INDEX entries_by_event ON entries (session, event)",
)
"""Entry k brings a database from version k to k + 1."""
