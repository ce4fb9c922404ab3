-- People of a business can be forgotten, in the audit log too, and its chain still holds (services/audit.py says why).

-- SHA-256 over a beginning and fields, each with its length before it: no two lists of fields make the same text.
CREATE FUNCTION fields_hash(beginning bytea, fields text[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(beginning || convert_to(
               string_agg(octet_length(convert_to(field, 'UTF8'))::text || ':' || field, '' ORDER BY place), 'UTF8'))
      FROM unnest(fields) WITH ORDINALITY AS told (field, place)
$$;

-- A line with all that stands in it: what lines before 0062 are chained by, and what a redaction says of a line after it.
CREATE FUNCTION standing_hash(line audit_entry) RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
    SELECT fields_hash(line.prev_hash, ARRAY[
        line.id::text, line.tenant_id::text, line.seq::text, (extract(epoch FROM line.at) * 1000000)::bigint::text,
        line.actor_kind, coalesce(line.actor_id::text, ''), line.action, line.subject_kind, line.subject_id,
        line.details::text, line.address, line.traceparent])
$$;

-- As before (guards_0016.sql); but what may name a person is in the chain as a salted digest, so that it can go.
CREATE OR REPLACE FUNCTION chain_audit_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
    last record;
BEGIN
    -- one line at a time in each business, until the transaction that writes it ends
    PERFORM pg_advisory_xact_lock(hashtextextended('audit ' || NEW.tenant_id::text, 0));
    SELECT e.seq, e.hash INTO last FROM audit_entry e WHERE e.tenant_id = NEW.tenant_id ORDER BY e.seq DESC LIMIT 1;
    NEW.seq := coalesce(last.seq, 0) + 1;
    NEW.at := clock_timestamp();
    NEW.prev_hash := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    NEW.redacted_at := NULL;
    NEW.salt := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    NEW.digest := fields_hash(NEW.salt, ARRAY[NEW.details::text, NEW.address]);
    NEW.hash := fields_hash(NEW.prev_hash, ARRAY[
        NEW.id::text, NEW.tenant_id::text, NEW.seq::text, (extract(epoch FROM NEW.at) * 1000000)::bigint::text,
        NEW.actor_kind, coalesce(NEW.actor_id::text, ''), NEW.action, NEW.subject_kind, NEW.subject_id,
        encode(NEW.digest, 'hex'), NEW.traceparent]);
    RETURN NEW;
END $$;

-- What a person is called who was forgotten: nobody, at a domain that is none (RFC 2606).
CREATE FUNCTION erased_user_name(whose uuid) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT 'erased-' || whose || '@erased.invalid' $$;

-- Mail addresses of a person: their own, and what providers of sign-ins told.
CREATE FUNCTION user_words(wanted uuid) RETURNS text[] LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT array_agg(DISTINCT lower(word)) FROM (
        SELECT btrim(u.email) AS word FROM app_user u WHERE u.tenant_id = current_tenant() AND u.id = wanted
        UNION ALL
        SELECT btrim(p.email) FROM provider_identity p WHERE p.tenant_id = current_tenant() AND p.user_id = wanted
    ) AS told WHERE word ~ '.@.'
$$;

-- Finds an address where it is not a part of a longer one; with `as_json` as documents spell it.
CREATE FUNCTION address_pattern(words text[], as_json boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce('(?<![[:alnum:]._%+@-])(?:' || string_agg(w, '|') || ')(?![[:alnum:]@-])(?!\.[[:alnum:]])', '$.')
      FROM (SELECT regexp_replace(CASE WHEN as_json THEN btrim(to_json(each)::text, '"') ELSE each END,
                                  '([][\\.*+?(){}^$|])', '\\\1', 'g') AS w
              FROM unnest(words) AS each ORDER BY length(each) DESC, each) AS escaped
$$;

-- Details of a line without the address, nor what stands under the names.
CREATE FUNCTION redacted_details(said jsonb, address text, names text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
    SELECT erased_document(said, '$.', address) || coalesce((
        SELECT jsonb_object_agg(key, 'erased') FROM jsonb_each_text(said) WHERE key = ANY (names) AND value <> ''), '{}')
$$;

-- Lines that name the person, or say where they were, without that; a later line says which, and what stands there now.
CREATE FUNCTION redact_audit_of_user(wanted uuid, words text[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    tenant uuid := current_tenant();
    keys uuid[]; sessions text[]; numbers bigint[]; hashes bytea[];
    batch CONSTANT integer := 500;
BEGIN
    SELECT array_agg(k.id) INTO keys FROM api_key k WHERE k.tenant_id = tenant AND k.user_id = wanted;
    SELECT array_agg(s.id::text) INTO sessions FROM user_session s WHERE s.tenant_id = tenant AND s.user_id = wanted;
    PERFORM pg_advisory_xact_lock(hashtextextended('audit ' || tenant::text, 0));
    WITH about AS (
        SELECT e.id, e.details, e.address, e.subject_kind,
               e.actor_id = wanted OR e.actor_id = ANY (keys) AS theirs,
               (e.subject_kind = 'user' AND e.subject_id = wanted::text)
               OR (e.subject_kind = 'session' AND (e.subject_id = ANY (sessions) OR e.details ->> 'user' = wanted::text))
                   AS of_them,
               e.actor_kind = 'nobody' AS unknown
          FROM audit_entry e WHERE e.tenant_id = tenant AND e.action <> 'audit.redacted'
    ), wished AS (
        SELECT a.id, redacted_details(a.details, address_pattern(words, false), CASE
                   WHEN a.of_them OR (a.theirs AND a.subject_kind = 'session') THEN ARRAY['device', 'shown', 'email']
                   WHEN a.theirs AND a.subject_kind IN ('passkey', 'key', 'device') THEN ARRAY['name', 'before', 'after']
                   ELSE '{}' END) AS details,
               CASE WHEN a.theirs OR (a.of_them AND a.unknown) THEN '' ELSE a.address END AS address
          FROM about a
         WHERE a.theirs OR a.of_them OR a.details::text ~* address_pattern(words, true)
    ), redacted AS (
        UPDATE audit_entry e SET details = w.details, address = w.address, salt = NULL, redacted_at = clock_timestamp()
          FROM wished w WHERE e.id = w.id AND (e.details <> w.details OR e.address <> w.address)
        RETURNING e.seq, standing_hash(e) AS hash
    )
    SELECT array_agg(r.seq ORDER BY r.seq), array_agg(r.hash ORDER BY r.seq) INTO numbers, hashes FROM redacted r;
    FOR start IN 1 .. coalesce(cardinality(numbers), 0) BY batch LOOP
        INSERT INTO audit_entry (id, tenant_id, actor_kind, action, subject_kind, subject_id, details, address, traceparent)
        SELECT gen_random_uuid(), tenant, 'system', 'audit.redacted', 'user', wanted::text,
               jsonb_build_object('lines', jsonb_object_agg(number, encode(hash, 'hex'))), '', ''
          FROM unnest(numbers[start : start + batch - 1], hashes[start : start + batch - 1]) AS said (number, hash);
    END LOOP;
    RETURN coalesce(cardinality(numbers), 0);
END $$;

-- Forget a person of the business: their addresses wherever they stand, and whatever lets them in or tells them things.
-- What they did stays, under an id that names nobody. Suppliers are no people of the business: theirs stays. Returns rows
-- changed by table.
CREATE FUNCTION erase_user(wanted uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    tenant uuid := current_tenant();
    words text[]; far text; far_json text; spot record; changed bigint; owned text;
    counts jsonb := '{}';
BEGIN
    PERFORM 1 FROM app_user u WHERE u.tenant_id = tenant AND u.id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RETURN counts;
    END IF;
    words := user_words(wanted);
    far := address_pattern(words, false);
    far_json := address_pattern(words, true);
    changed := redact_audit_of_user(wanted, words);
    IF changed > 0 THEN
        counts := jsonb_build_object('audit_entry', changed);
    END IF;
    FOREACH owned IN ARRAY ARRAY['refresh_token', 'user_session', 'second_factor', 'recovery_code', 'passkey',
        'provider_identity', 'api_key', 'consent_request', 'notification_delivery', 'notification_destination',
        'notification', 'notification_preference', 'report_schedule', 'sync_notice', 'sync_device'] LOOP
        EXECUTE format('DELETE FROM %I WHERE tenant_id = $1 AND user_id = $2', owned) USING tenant, wanted;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed > 0 THEN
            counts := counts || jsonb_build_object(owned, changed);
        END IF;
    END LOOP;
    FOR spot IN SELECT * FROM buyer_places(true) p WHERE p.related = 'false' AND p.place <> 'supplier' LOOP
        EXECUTE format('UPDATE %I t SET %s WHERE t.tenant_id = $1 AND (%s)', spot.place, (
            SELECT string_agg(assigned, ', ') FROM (
                SELECT format('%1$I = %2$s(t.%1$I, ''$.'', $7)', name,
                              CASE kind WHEN 'text' THEN 'erased_text' ELSE 'erased_document' END) AS assigned
                  FROM (SELECT unnest(spot.texts) AS name, 'text' AS kind
                        UNION ALL SELECT unnest(spot.documents), 'document') AS columns) AS each),
            buyer_matches(spot.texts, spot.documents, 'false'))
            USING tenant, NULL::uuid[], NULL::uuid[], NULL::uuid[], NULL::uuid[], '$.'::text, far, far_json;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed > 0 THEN
            counts := counts || jsonb_build_object(spot.place, changed + coalesce((counts ->> spot.place)::bigint, 0));
        END IF;
    END LOOP;
    UPDATE app_user u SET email = erased_user_name(u.id), password_hash = '', role = 'read-only', role_id = NULL,
           disabled_at = coalesce(u.disabled_at, now()), version = u.version + 1, updated_at = now()
     WHERE u.tenant_id = tenant AND u.id = wanted;
    RETURN counts || '{"app_user": 1}';
END $$;

REVOKE EXECUTE ON FUNCTION erase_user(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_user(uuid) TO flipsync_app, flipsync_worker;
REVOKE EXECUTE ON FUNCTION redact_audit_of_user(uuid, text[]) FROM PUBLIC;
