-- Which transaction changed a thing last, for phones that ask what changed since they asked. A statement's rows are
-- marked together, after it; each mark's row is locked by whoever holds the thing's own row, so nobody waits in a circle.
CREATE FUNCTION note_sync_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO sync_change AS c (tenant_id, kind, id, xid, at, gone)
    SELECT r.tenant_id, TG_ARGV[0], r.id, pg_current_xact_id()::text::bigint, clock_timestamp(), false
      FROM changed r
    ON CONFLICT (tenant_id, kind, id) DO UPDATE SET xid = excluded.xid, at = excluded.at, gone = false
     WHERE c.xid <> excluded.xid OR c.gone;
    RETURN NULL;
END $$;

-- What is deleted with its business leaves no tombstone: nobody is left to ask.
CREATE FUNCTION note_sync_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO sync_change AS c (tenant_id, kind, id, xid, at, gone)
    SELECT r.tenant_id, TG_ARGV[0], r.id, pg_current_xact_id()::text::bigint, clock_timestamp(), true
      FROM changed r JOIN tenant t ON t.id = r.tenant_id
    ON CONFLICT (tenant_id, kind, id) DO UPDATE SET xid = excluded.xid, at = excluded.at, gone = true;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION note_sync_change(), note_sync_gone() FROM PUBLIC;

DO $$
DECLARE
    named text[];
BEGIN
    FOREACH named SLICE 1 IN ARRAY ARRAY[
        ['product', 'product'], ['variant', 'variant'], ['stock_item', 'stock_item'], ['listing', 'listing'],
        ['customer_order', 'order'], ['order_line', 'order_line'], ['sync_notice', 'notice']
    ]
    LOOP
        EXECUTE format('CREATE TRIGGER sync_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS changed'
            ' FOR EACH STATEMENT EXECUTE FUNCTION note_sync_change(%L)', named[1], named[2]);
        EXECUTE format('CREATE TRIGGER sync_updated AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed'
            ' FOR EACH STATEMENT EXECUTE FUNCTION note_sync_change(%L)', named[1], named[2]);
        EXECUTE format('CREATE TRIGGER sync_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS changed'
            ' FOR EACH STATEMENT EXECUTE FUNCTION note_sync_gone(%L)', named[1], named[2]);
    END LOOP;
END $$;

-- Which version of a product each of its words is from, and when, whoever wrote them: two edits of the same words are
-- told apart from an edit of words nobody touched. Who edits by hand says more (services.product_edits).
CREATE FUNCTION mark_product_edits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    field text;
    before jsonb := to_jsonb(OLD);
    after jsonb := to_jsonb(NEW);
BEGIN
    IF NEW.edits IS DISTINCT FROM OLD.edits THEN
        RETURN NEW;
    END IF;
    FOREACH field IN ARRAY ARRAY['title', 'description_html', 'brand', 'category', 'tags', 'images', 'published'] LOOP
        IF before -> field IS DISTINCT FROM after -> field THEN
            NEW.edits := NEW.edits || jsonb_build_object(field, jsonb_build_object(
                'version', NEW.version, 'at', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                'user_id', NULL, 'device_id', NULL));
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER mark_product_edits BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION mark_product_edits();
