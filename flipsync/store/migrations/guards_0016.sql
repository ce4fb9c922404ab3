-- The audit log is numbered, dated and chained here, so that the application's role cannot write a line it did not
-- write next, and has no right to change or delete one. The text that is hashed: each field with its length before it.
CREATE FUNCTION chain_audit_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    last record;
    written text;
BEGIN
    -- one line at a time in each business, until the transaction that writes it ends
    PERFORM pg_advisory_xact_lock(hashtextextended('audit ' || NEW.tenant_id::text, 0));
    SELECT e.seq, e.hash INTO last FROM audit_entry e WHERE e.tenant_id = NEW.tenant_id ORDER BY e.seq DESC LIMIT 1;
    NEW.seq := coalesce(last.seq, 0) + 1;
    NEW.at := clock_timestamp();
    NEW.prev_hash := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    SELECT string_agg(octet_length(convert_to(field, 'UTF8'))::text || ':' || field, '' ORDER BY place) INTO written
      FROM unnest(ARRAY[
          NEW.id::text, NEW.tenant_id::text, NEW.seq::text, (extract(epoch FROM NEW.at) * 1000000)::bigint::text,
          NEW.actor_kind, coalesce(NEW.actor_id::text, ''), NEW.action, NEW.subject_kind, NEW.subject_id,
          NEW.details::text, NEW.address, NEW.traceparent
      ]) WITH ORDINALITY AS fields (field, place);
    NEW.hash := sha256(NEW.prev_hash || convert_to(written, 'UTF8'));
    RETURN NEW;
END $$;
CREATE TRIGGER chain_audit_entry BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION chain_audit_entry();

-- Whose API key this is, before the tenant is known. That it was used is noted at most once a minute.
CREATE FUNCTION api_key_holder(wanted_hash text)
    RETURNS TABLE (id uuid, tenant_id uuid, user_id uuid, role text, permissions jsonb, per_minute bigint,
                   expires_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    UPDATE api_key k SET last_used_at = clock_timestamp()
     WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
       AND (k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - interval '1 minute');
    RETURN QUERY
        SELECT k.id, k.tenant_id, k.user_id, u.role::text, k.permissions, k.per_minute, k.expires_at
          FROM api_key k JOIN app_user u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
         WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
           AND u.disabled_at IS NULL;
END $$;
REVOKE EXECUTE ON FUNCTION api_key_holder(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api_key_holder(text) TO flipsync_app;
REVOKE EXECUTE ON FUNCTION chain_audit_entry() FROM PUBLIC;
