"""A schema as PostgreSQL describes it, for comparing: two schemas are the same when their catalogs are equal."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

Catalog = dict[str, str]
"""What there is, such as `column ledger_line.gross`, and its definition."""

MODEL_KINDS: Final = ("table", "column", "constraint", "index")
"""The kinds of things that models describe; the rest only migrations make."""

# Each gives (name, definition) of everything of a kind in the current schema. %% is psycopg's way to write %.
_QUERIES: Final = {
    "table": """
        SELECT c.relname, c.relkind::text || coalesce(' ' || pg_get_partkeydef(c.oid), '')
               || coalesce(' ' || pg_get_expr(c.relpartbound, c.oid), '') || c.relpersistence::text
        FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm') AND {here}
    """,
    "column": """
        SELECT c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
               CASE WHEN a.attnotnull THEN 'not null' END, a.attidentity::text, a.attgenerated::text,
               (SELECT collname FROM pg_collation o WHERE o.oid = a.attcollation), pg_get_expr(d.adbin, d.adrelid))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND {here}
    """,
    "storage": """
        SELECT c.relname || '.' || a.attname, a.attstorage::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND {here}
    """,
    # PostgreSQL 18 keeps NOT NULL as constraints too; they show with the columns on every version.
    "constraint": """
        SELECT c.relname || '.' || n.conname,
               pg_get_constraintdef(n.oid) || CASE WHEN n.convalidated THEN '' ELSE ' NOT VALIDATED' END
        FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid WHERE n.contype NOT IN ('n', 't') AND {here}
    """,
    "index": """
        SELECT c.relname, regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?[^ ]+\\.', ' ON ')
               || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE {here}
    """,
    "trigger": """
        SELECT c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE (NOT t.tgisinternal OR t.tgparentid <> 0) AND t.tgconstraint = 0 AND {here}
    """,
    "function": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid)
               || (SELECT string_agg(acl::text, ',' ORDER BY acl::text)
                   FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) acl)
        FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
          AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    """,
    "grant": """
        SELECT c.relname, (SELECT string_agg(acl::text, ',' ORDER BY acl::text)
               FROM unnest(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
                                                         c.relowner))) acl)
        FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND {here}
    """,
    "extension": "SELECT e.extname, '' FROM pg_extension e",
}
_HERE: Final = "c.relnamespace = current_schema()::regnamespace"
_NO_PARTITION: Final = (
    " AND NOT c.relispartition AND c.relkind <> 'v' AND c.relname NOT LIKE 'alembic_version%%'"
    " AND c.relname NOT LIKE 'data_migration%%'"
    " AND NOT EXISTS (SELECT 1 FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid"
    " WHERE x.indexrelid = c.oid AND t.relispartition)"
)


def read_catalog(connection: Connection) -> Catalog:
    """Return everything in the current schema, except the contents of tables."""
    return _read(connection, tuple(_QUERIES), _HERE)


def read_model_catalog(connection: Connection) -> Catalog:
    """Return what models describe of the current schema: no partitions, views, triggers, functions, grants or
    storage.
    """
    return _read(connection, MODEL_KINDS, _HERE + _NO_PARTITION)


def differences(left: Catalog, right: Catalog) -> list[str]:
    """Return one line for each thing that only one side has, or that the sides define differently."""
    return [
        f"{name}: {left.get(name, 'nothing')} | {right.get(name, 'nothing')}"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]


def _read(connection: Connection, kinds: tuple[str, ...], here: str) -> Catalog:
    catalog: Catalog = {}
    for kind in kinds:
        for name, definition in connection.exec_driver_sql(_QUERIES[kind].format(here=here)):
            catalog[f"{kind} {name}"] = definition.strip()
    return catalog
