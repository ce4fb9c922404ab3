-- What the database itself guarantees: tenants do not see each other, balances follow movements, history stays as it is.
-- Roles flipsync_app (API, command line) and flipsync_worker (agents, effects) exist before this runs; neither owns a
-- table, neither can bypass row security.

CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.tenant_id', true), '')::uuid $$;

DO $$
DECLARE name text;
BEGIN
    FOR name IN
        SELECT c.table_name FROM information_schema.columns c
        JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.table_schema = current_schema() AND c.column_name = 'tenant_id' AND t.table_type = 'BASE TABLE'
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant_isolation ON %I USING (tenant_id = (SELECT current_tenant()))'
            ' WITH CHECK (tenant_id = (SELECT current_tenant()))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO flipsync_app, flipsync_worker', name);
    END LOOP;
END $$;

ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant USING (id = (SELECT current_tenant())) WITH CHECK (id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE ON tenant TO flipsync_app, flipsync_worker;

GRANT SELECT ON agent_status TO flipsync_app;
GRANT SELECT, INSERT, UPDATE ON agent_status TO flipsync_worker;

-- Workers claim from the queues of all tenants; everything else they read and write as one tenant at a time.
CREATE POLICY worker_queue_read ON agent_task FOR SELECT TO flipsync_worker USING (true);
CREATE POLICY worker_queue_claim ON agent_task FOR UPDATE TO flipsync_worker USING (true);
CREATE POLICY worker_queue_read ON effect FOR SELECT TO flipsync_worker USING (true);
CREATE POLICY worker_queue_claim ON effect FOR UPDATE TO flipsync_worker USING (true);
CREATE POLICY worker_tenants ON tenant FOR SELECT TO flipsync_worker USING (true);

-- History is written once.
REVOKE UPDATE, DELETE ON event, stock_movement, receipt, price_change FROM flipsync_app, flipsync_worker;
-- Nor deleted with what it hangs on: a cascade would run as the owner and take movements, orders and receipts along.
REVOKE DELETE ON agent_decision, proposal, effect, agent_task, customer_order, order_line, refund, approval, shipment,
    stock_item, allocation, product, variant, listing, marketplace_account, app_user
    FROM flipsync_app, flipsync_worker;

-- A queue's row is claimed and finished; what it asks for stays as it was written.
REVOKE UPDATE ON agent_task, effect FROM flipsync_app, flipsync_worker;
GRANT UPDATE (state, attempts, not_before, lease_until, epoch, error, finished_at) ON agent_task TO flipsync_worker;
GRANT UPDATE (state, attempts, not_before, lease_owner, lease_until, epoch, result, finished_at) ON effect
    TO flipsync_worker;

-- Balances follow movements: nobody writes them by hand.
REVOKE UPDATE ON stock_item FROM flipsync_app, flipsync_worker;
GRANT UPDATE (mode, pending_count, updated_at) ON stock_item TO flipsync_app, flipsync_worker;

CREATE FUNCTION apply_stock_movement() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE stock_item
       SET on_hand = on_hand + NEW.on_hand_delta, reserved = reserved + NEW.reserved_delta, updated_at = NEW.at
     WHERE id = NEW.stock_item_id AND tenant_id = NEW.tenant_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stock item % is not of tenant %', NEW.stock_item_id, NEW.tenant_id USING ERRCODE = '23503';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER apply_stock_movement AFTER INSERT ON stock_movement
    FOR EACH ROW EXECUTE FUNCTION apply_stock_movement();

CREATE FUNCTION start_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.on_hand := 0; NEW.reserved := 0; NEW.allocated := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER start_empty BEFORE INSERT ON stock_item FOR EACH ROW EXECUTE FUNCTION start_empty();

CREATE FUNCTION apply_allocation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    delta bigint := 0;
    item uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN delta := delta - OLD.entitled; item := OLD.stock_item_id; END IF;
    IF TG_OP <> 'DELETE' THEN delta := delta + NEW.entitled; item := NEW.stock_item_id; END IF;
    IF delta <> 0 THEN
        UPDATE stock_item SET allocated = allocated + delta WHERE id = item AND mode = 'escrow';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER apply_allocation AFTER INSERT OR DELETE OR UPDATE OF entitled ON allocation
    FOR EACH ROW EXECUTE FUNCTION apply_allocation();

CREATE FUNCTION apply_stock_mode() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    NEW.allocated := CASE NEW.mode WHEN 'escrow' THEN
        coalesce((SELECT sum(entitled) FROM allocation WHERE stock_item_id = NEW.id), 0) ELSE 0 END;
    RETURN NEW;
END $$;
CREATE TRIGGER apply_stock_mode BEFORE UPDATE OF mode ON stock_item
    FOR EACH ROW WHEN (OLD.mode IS DISTINCT FROM NEW.mode) EXECUTE FUNCTION apply_stock_mode();

-- What must be known before the tenant is: who signs in, whose refresh token this is, whose webhook this is.
CREATE FUNCTION sign_in_candidate(wanted_email text)
    RETURNS TABLE (id uuid, tenant_id uuid, password_hash text, role text, disabled_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
    AS $$ SELECT u.id, u.tenant_id, u.password_hash, u.role, u.disabled_at
          FROM app_user u WHERE lower(u.email) = lower(wanted_email) $$;
CREATE FUNCTION refresh_token_tenant(wanted_hash text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
    AS $$ SELECT r.tenant_id FROM refresh_token r WHERE r.token_hash = wanted_hash $$;
CREATE FUNCTION webhook_account(wanted_token text) RETURNS TABLE (account_id uuid, tenant_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
    AS $$ SELECT a.id, a.tenant_id FROM marketplace_account a WHERE a.webhook_token = wanted_token $$;
REVOKE EXECUTE ON FUNCTION sign_in_candidate(text), refresh_token_tenant(text), webhook_account(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sign_in_candidate(text), refresh_token_tenant(text), webhook_account(text) TO flipsync_app;
