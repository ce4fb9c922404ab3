"""What is asked about goods before they are bought, what catalogues tell, what is advised."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_TABLES = ("catalogue_answer", "catalogue_find", "sourcing_line", "sourcing_scan")


def _owned(table: str, **parents: tuple[str, str]) -> tuple[sa.schema.SchemaItem, ...]:
    """`parents`: column → (table it points to, what happens when that row goes)."""
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(column, sa.Uuid(), nullable=gone != "CASCADE") for column, (_, gone) in parents.items()),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", column],
                [f"{parent}.tenant_id", f"{parent}.id"],
                name=op.f(f"fk_{table}_tenant_id_{column}"),
                ondelete=gone,
            )
            for column, (parent, gone) in parents.items()
        ),
    )


def _columns(kind: sa.types.TypeEngine[Any], *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def upgrade() -> None:
    moment, json = sa.DateTime(timezone=True), postgresql.JSONB()
    op.create_table(
        "sourcing_scan",
        *_owned("sourcing_scan"),
        *_columns(sa.String(), "kind", "name"),
        *_columns(sa.BigInteger(), "lines"),
        *_columns(moment, "asked_at"),
        *_columns(sa.Uuid(), "asked_by", nullable=True),
        *_columns(json, "problems"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_sourcing_scan_tenant_id_id")),
        sa.CheckConstraint("kind IN ('query','list')", name=op.f("ck_sourcing_scan_kind")),
    )
    op.create_table(
        "sourcing_line",
        *_owned(
            "sourcing_line",
            scan_id=("sourcing_scan", "CASCADE"),
            variant_id=("variant", "SET NULL (variant_id)"),
            account_id=("marketplace_account", "SET NULL (account_id)"),
        ),
        *_columns(sa.BigInteger(), "place", "units"),
        *_columns(sa.String(), "text", "title", "why", "product", "identified_by"),
        *_columns(sa.String(14), "gtin", nullable=True),
        *_columns(sa.String(10), "asin", nullable=True),
        *_columns(sa.String(3), "currency"),
        *_columns(
            sa.BigInteger(), "cost_minor", "most_minor", "low_minor", "likely_minor", "high_minor", nullable=True
        ),
        *_columns(sa.String(), "verdict", nullable=True),
        *_columns(sa.Float(), "identity"),
        *_columns(sa.Float(), "chance", "days_to_sell", "worth", nullable=True),
        *_columns(json, "scores", "waiting"),
        *_columns(sa.Uuid(), "decision_id", nullable=True),
        *_columns(moment, "decided_at", nullable=True),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_sourcing_line_tenant_id_id")),
        sa.UniqueConstraint("scan_id", "place", name=op.f("uq_sourcing_line_scan_id_place")),
        sa.CheckConstraint("verdict IN ('buy','pass','ask')", name=op.f("ck_sourcing_line_verdict")),
    )
    op.create_table(
        "catalogue_find",
        *_owned("catalogue_find", line_id=("sourcing_line", "CASCADE"), account_id=("marketplace_account", "CASCADE")),
        *_columns(sa.String(), "external_id", "title", "brand"),
        *_columns(json, "codes", "offers"),
        *_columns(sa.BigInteger(), "sales_rank", nullable=True),
        *_columns(sa.String(3), "currency"),
        *_columns(moment, "seen_at"),
        sa.UniqueConstraint(
            "line_id", "account_id", "external_id", name=op.f("uq_catalogue_find_line_id_account_id_external_id")
        ),
    )
    op.create_table(
        "catalogue_answer",
        *_owned(
            "catalogue_answer", scan_id=("sourcing_scan", "CASCADE"), account_id=("marketplace_account", "CASCADE")
        ),
        *_columns(sa.BigInteger(), "part", "found"),
        *_columns(moment, "at"),
        sa.UniqueConstraint("scan_id", "account_id", "part", name=op.f("uq_catalogue_answer_scan_id_account_id_part")),
    )
    for table, columns in (
        ("sourcing_line", ("variant_id", "account_id")),
        ("catalogue_find", ("tenant_id", "account_id")),
        ("catalogue_answer", ("tenant_id", "account_id")),
    ):
        for column in columns:
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.create_index(
        "ix_sourcing_line_waiting",
        "sourcing_line",
        ["tenant_id", "scan_id"],
        postgresql_where=sa.text("waiting <> '[]'::jsonb"),
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
