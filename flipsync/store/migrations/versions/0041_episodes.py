"""Memory: what was tried and what came of it, to be found by what it is about and by words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_SEARCHED = "to_tsvector('english'::regconfig, (((situation || ' ') || tried) || ' ') || came)"


def _parent(column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{parent}.tenant_id", f"{parent}.id"],
        name=op.f(f"fk_episode_tenant_id_{column}"),
        ondelete="CASCADE",
    )


def _words(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=nullable) for name in names]


def _ids(*names: str, nullable: bool = False) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Uuid(), nullable=nullable) for name in names]


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "episode",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        *_ids("decision_id", "proposal_id"),
        *_words("agent", "kind", "command", "subject_kind"),
        *_ids("subject_id"),
        *_ids("product_id", "account_id", nullable=True),
        *_words("category", nullable=True),
        *_words("situation"),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        *_words("tried"),
        sa.Column("confidence", sa.Float(), nullable=False),
        *_words("verdict", nullable=True),
        *_words("rule"),
        sa.Column("outcome", sa.BigInteger()),
        *_words("came"),
        sa.Column("money_minor", sa.BigInteger()),
        *_words("currency", "evidence_kind", nullable=True),
        *_ids("evidence_id", nullable=True),
        *(sa.Column(name, moment, nullable=False) for name in ("decided_at", "known_at", "written_at")),
        sa.Column("indexed_at", moment),
        sa.Column("search", postgresql.TSVECTOR(), sa.Computed(_SEARCHED, persisted=True)),
        _parent("decision_id", "agent_decision"),
        _parent("proposal_id", "proposal"),
        _parent("product_id", "product"),
        _parent("account_id", "marketplace_account"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_episode_tenant_id_id")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_episode_proposal_id")),
        sa.CheckConstraint("outcome IN (0, 1)", name=op.f("ck_episode_outcome")),
        sa.CheckConstraint("(money_minor IS NULL) = (currency IS NULL)", name=op.f("ck_episode_money")),
    )
    for name, columns in (
        ("ix_episode_subject_id", ["tenant_id", "subject_id", "known_at"]),
        ("ix_episode_product_id", ["tenant_id", "product_id", "known_at"]),
        ("ix_episode_kind", ["tenant_id", "kind", "known_at"]),
        ("ix_episode_decision_id", ["decision_id"]),
        ("ix_episode_account_id", ["account_id"]),
    ):
        op.create_index(name, "episode", columns)
    op.create_index("ix_episode_unindexed", "episode", ["tenant_id"], postgresql_where=sa.text("indexed_at IS NULL"))
    op.execute("ALTER TABLE episode ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON episode USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON episode TO flipsync_worker")
    op.execute("GRANT SELECT ON episode TO flipsync_app")


def downgrade() -> None:
    op.drop_table("episode")
