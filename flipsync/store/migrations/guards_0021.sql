-- Forgetting buyers. History that the application may not rewrite says who bought; what blanks that runs here, as the
-- tables' owner, for words of buyers of the caller's own business and nothing else.

-- When an order was over, for retention; and that an erased buyer stays erased, whatever the channel tells again and
-- whatever backup the books come from.
CREATE FUNCTION watch_over_buyer() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.state IN ('shipped', 'cancelled') OR NEW.status IN ('shipped', 'cancelled', 'refunded', 'failed') THEN
        -- what a channel says of the year 2100 is no reason to remember a buyer until then
        NEW.closed_at := coalesce(NEW.closed_at, least(NEW.modified_at, now()));
    ELSE
        NEW.closed_at := NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.erased_at IS NOT NULL THEN
        NEW.erased_at := OLD.erased_at; NEW.ship_to := OLD.ship_to; NEW.buyer_id := OLD.buyer_id;
    ELSIF TG_OP = 'INSERT' AND EXISTS (
        SELECT 1 FROM erasure e WHERE e.tenant_id = NEW.tenant_id AND e.account_id = NEW.account_id
           AND e.order_external_id = NEW.external_id AND e.erased_at IS NOT NULL)
    THEN
        NEW.erased_at := now(); NEW.ship_to := erased_address(NEW.ship_to, 'erased buyer'); NEW.buyer_id := '';
    END IF;
    RETURN NEW;
END $$;

-- Country and region stay: what tax was owed where depends on them.
CREATE FUNCTION erased_address(address jsonb, pseudonym text) RETURNS jsonb LANGUAGE sql IMMUTABLE
    AS $$ SELECT jsonb_build_object('name', pseudonym, 'company', '', 'line1', '', 'line2', '', 'city', '',
        'region', coalesce(address ->> 'region', ''), 'postal_code', '', 'country', coalesce(address ->> 'country', ''),
        'phone', '', 'email', '') $$;

CREATE TRIGGER watch_over_buyer BEFORE INSERT OR UPDATE OF state, status, modified_at, ship_to, buyer_id, erased_at
    ON customer_order FOR EACH ROW EXECUTE FUNCTION watch_over_buyer();

-- What names these orders' buyers. `anywhere`: it means nobody else, wherever in the books it stands. Buyers write these
-- words themselves: what could as well be a word, a date or an id of the programs' is looked for in their own orders only.
CREATE FUNCTION buyer_words(wanted uuid[]) RETURNS TABLE (word text, anywhere boolean)
    LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    WITH chosen AS (
        SELECT o.id, o.ship_to, o.buyer_id FROM customer_order o
         WHERE o.tenant_id = current_tenant() AND o.id = ANY (wanted) AND o.erased_at IS NULL
    ), told AS (
        SELECT v.key AS field, btrim(v.value) AS word FROM chosen, jsonb_each_text(chosen.ship_to) v
         WHERE v.key IN ('name', 'company', 'line1', 'line2', 'phone', 'email')
        UNION SELECT 'buyer_id', btrim(buyer_id) FROM chosen
        UNION SELECT 'tracking', btrim(s.tracking_number) FROM shipment s JOIN chosen ON chosen.id = s.order_id
        UNION SELECT 'tracking', btrim(l.tracking_number) FROM label_purchase l JOIN chosen ON chosen.id = l.order_id
        UNION SELECT 'reason', btrim(r.reason) FROM refund_request r JOIN chosen ON chosen.id = r.order_id
        UNION SELECT 'part', part FROM chosen, regexp_split_to_table(chosen.ship_to ->> 'name', '\s+') part
    )
    SELECT t.word, bool_or(CASE t.field
               WHEN 'email' THEN length(t.word) >= 5 AND t.word ~ '@'
               WHEN 'buyer_id' THEN length(t.word) >= 5 AND t.word ~ '[^[:alpha:]_-]' AND t.word !~ '^[0-9:TZ-]+$'
               WHEN 'tracking' THEN length(t.word) >= 10 AND t.word !~ '[-:]'
               WHEN 'phone' THEN length(regexp_replace(t.word, '[^0-9]', '', 'g')) >= 7 AND t.word !~ '^\d{4}-\d\d-\d\d'
               WHEN 'part' THEN false
               WHEN 'reason' THEN false
               ELSE length(t.word) >= 6 AND t.word ~ '\S\s+\S' END
               AND lower(t.word) NOT IN (SELECT lower(v.sku) FROM variant v WHERE v.tenant_id = current_tenant()
                                         UNION ALL
                                         SELECT lower(p.title) FROM product p WHERE p.tenant_id = current_tenant()))
      FROM told t
     WHERE length(t.word) >= 3 OR (length(t.word) = 2 AND t.word !~ '^[ -~]*$')
     GROUP BY t.word
$$;

CREATE FUNCTION words_pattern(words text[], whole boolean, as_json boolean) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(CASE WHEN whole THEN '(?<![[:alnum:]])(?:' || string_agg(w, '|') || ')(?![[:alnum:]])'
                         ELSE '(?<![0-9A-Za-z])(?:' || string_agg(w, '|') || ')(?![0-9A-Za-z])' END, '$.')
      FROM (SELECT regexp_replace(
                       regexp_replace(CASE WHEN as_json THEN btrim(to_json(each)::text, '"') ELSE each END,
                                      '([][\\.*+?(){}^$|])', '\\\1', 'g'), '\s+', '\\s+', 'g') AS w
              FROM unnest(words) AS each ORDER BY length(each) DESC, each) AS escaped
$$;

CREATE FUNCTION erased_text(said text, near text, far text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(regexp_replace(said, far, 'erased', 'gi'), near, 'erased', 'gi')
$$;

-- Strings within a document. What means something to programs is no place for a buyer's name, and buyers may call
-- themselves what they like: ids, moments, and what stands under a name that says so are left alone.
CREATE FUNCTION erased_document(said jsonb, near text, far text, under text DEFAULT '') RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    plain text;
BEGIN
    CASE jsonb_typeof(said)
    WHEN 'string' THEN
        plain := said #>> '{}';
        IF under !~ '^buyer_ids?$' AND (
            under ~ '(^|_)(ids?|skus?|keys?|hash|kind|type|state|status|currency|at|commands?|agent|vendor|rule|verdict|version|cause|mode|source|now|traceparent)$'
            OR plain ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' OR plain ~ '^\d{4}-\d\d-\d\d($|[T ]\d\d:)')
        THEN
            RETURN said;
        END IF;
        IF plain ~ '\s' OR (plain ~ '[^a-z0-9_-]' AND length(plain) < 40) THEN
            RETURN to_jsonb(erased_text(plain, near, far));
        END IF;
        RETURN to_jsonb(regexp_replace(plain, far, 'erased', 'gi'));
    WHEN 'array' THEN
        RETURN (SELECT coalesce(jsonb_agg(erased_document(e, near, far, under) ORDER BY place), '[]')
                  FROM jsonb_array_elements(said) WITH ORDINALITY AS x (e, place));
    WHEN 'object' THEN
        RETURN (SELECT coalesce(jsonb_object_agg(
                           CASE WHEN key ~ '^[a-z][a-z0-9_]*$' THEN key ELSE regexp_replace(key, far, 'erased', 'gi') END,
                           erased_document(value, near, far, key)), '{}')
                  FROM jsonb_each(said));
    ELSE
        RETURN said;
    END CASE;
END $$;

-- Where words of a buyer may stand: columns, and which rows belong to the orders ($2), events ($3), decisions ($4) and
-- effects ($5). With `everywhere`, every other column of the business's books as well.
CREATE FUNCTION buyer_places(everywhere boolean)
    RETURNS TABLE (place text, texts text[], documents text[], related text)
    LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT * FROM (VALUES
        ('event', '{}'::text[], '{payload}'::text[], 't.id = ANY ($3)'),
        ('agent_task', '{error}', '{}', 't.event_id = ANY ($3)'),
        ('agent_decision', '{rationale}', '{alternatives,evidence}', 't.id = ANY ($4)'),
        ('proposal', '{reason}', '{payload}', 't.decision_id = ANY ($4)'),
        ('approval', '{question,note}', '{}', 't.decision_id = ANY ($4)'),
        ('effect', '{}', '{payload,result,undo}', 't.id = ANY ($5)'),
        ('receipt', '{detail,vendor_code}', '{}', 't.effect_id = ANY ($5)'),
        ('refund_request', '{reason,detail}', '{}', 't.order_id = ANY ($2)'),
        ('label_purchase', '{detail,tracking_number}', '{}', 't.order_id = ANY ($2)'),
        ('shipment', '{tracking_number}', '{}', 't.order_id = ANY ($2)'),
        ('order_line', '{title}', '{}', 't.order_id = ANY ($2)'),
        ('stock_movement', '{note}', '{}',
         't.order_line_id IN (SELECT l.id FROM order_line l WHERE l.order_id = ANY ($2))')
    ) AS near (place, texts, documents, related)
    UNION ALL
    SELECT c.table_name, coalesce(array_agg(c.column_name::text) FILTER (WHERE c.data_type <> 'jsonb'), '{}'),
           coalesce(array_agg(c.column_name::text) FILTER (WHERE c.data_type = 'jsonb'), '{}'), 'false'
      FROM information_schema.columns c
      JOIN information_schema.tables b USING (table_schema, table_name)
     WHERE everywhere AND c.table_schema = current_schema() AND b.table_type = 'BASE TABLE'
       AND c.data_type IN ('text', 'character varying', 'jsonb') AND c.character_maximum_length IS NULL
       AND c.column_name !~ '(^|_)(key|hash|digest|external_id|traceparent|kind|state|status|type|token|sha256)$'
       AND c.table_name NOT IN ('audit_entry', 'app_user', 'tenant', 'product', 'variant', 'listing', 'import_run',
           'marketplace_account', 'policy_version', 'policy_stage', 'experiment', 'experiment_trial', 'erasure',
           'customer_order', 'rival_offer', 'rival_move', 'consent_request', 'api_key', 'user_session', 'refresh_token')
       AND EXISTS (SELECT 1 FROM information_schema.columns k
                    WHERE k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = 'tenant_id')
     GROUP BY c.table_name
$$;

-- The facts about these orders, what was decided in the same chains, and what was done about them.
CREATE FUNCTION buyer_chain(wanted uuid[], OUT events uuid[], OUT decisions uuid[], OUT effects uuid[])
    LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    tenant uuid := current_tenant();
    chains uuid[];
BEGIN
    SELECT array_agg(DISTINCT x.correlation_id) INTO chains FROM (
        SELECT e.correlation_id FROM event e
         WHERE e.tenant_id = tenant AND e.subject_kind = 'order' AND e.subject_id = ANY (wanted)
        UNION SELECT f.correlation_id FROM effect f
         WHERE f.tenant_id = tenant AND f.subject_kind = 'order' AND f.subject_id = ANY (wanted)) x;
    SELECT coalesce(array_agg(e.id), '{}') INTO events FROM event e
     WHERE e.tenant_id = tenant AND e.correlation_id = ANY (chains);
    SELECT coalesce(array_agg(d.id), '{}') INTO decisions FROM agent_decision d
     WHERE d.tenant_id = tenant AND d.event_id = ANY (events);
    SELECT coalesce(array_agg(f.id), '{}') INTO effects FROM effect f
     WHERE f.tenant_id = tenant AND f.correlation_id = ANY (chains);
END $$;

-- Every row outside the orders themselves that names their buyers.
CREATE FUNCTION buyer_mentions(wanted uuid[], everywhere boolean)
    RETURNS TABLE (place text, row_id uuid, content jsonb)
    LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    near text; far text; far_json text; found record; chain record;
BEGIN
    SELECT words_pattern(array_agg(w.word) FILTER (WHERE NOT w.anywhere), true, false),
           words_pattern(array_agg(w.word) FILTER (WHERE w.anywhere), false, false),
           words_pattern(array_agg(w.word) FILTER (WHERE w.anywhere), false, true)
      INTO near, far, far_json FROM buyer_words(wanted) w;
    SELECT * INTO chain FROM buyer_chain(wanted);
    FOR found IN SELECT * FROM buyer_places(everywhere) LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, t.id, to_jsonb(t) FROM %I t WHERE t.tenant_id = $1 AND (%s)', found.place, found.place,
            buyer_matches(found.texts, found.documents, found.related))
            USING current_tenant(), wanted, chain.events, chain.decisions, chain.effects, near, far, far_json;
    END LOOP;
END $$;

-- A condition on rows t: $6 is what is looked for in related rows, $7 everywhere, $8 is $7 as documents spell it.
CREATE FUNCTION buyer_matches(texts text[], documents text[], related text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN related = 'false' THEN '' ELSE '(' || related || ') AND ' END || '(' || string_agg(
        CASE WHEN kind = 'text' AND related = 'false' THEN format('t.%I ~* $7', name)
             WHEN kind = 'text' THEN format('t.%I IS DISTINCT FROM erased_text(t.%1$I, $6, $7)', name)
             WHEN related = 'false' THEN format('t.%I::text ~* $8', name)
             ELSE format('t.%I IS DISTINCT FROM erased_document(t.%1$I, $6, $7)', name) END, ' OR ') || ')'
      FROM (SELECT unnest(texts) AS name, 'text' AS kind UNION ALL SELECT unnest(documents), 'document') AS columns
$$;

-- Blank the buyers of these orders. Sums, lines, taxes and dates stay. Returns rows changed by table.
CREATE FUNCTION erase_buyers(wanted uuid[], pseudonym text, everywhere boolean) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    tenant uuid := current_tenant();
    near text; far text; far_json text; found record; chain record; changed bigint;
    counts jsonb := '{}';
BEGIN
    PERFORM 1 FROM customer_order o WHERE o.tenant_id = tenant AND o.id = ANY (wanted) ORDER BY o.id FOR UPDATE;
    SELECT words_pattern(array_agg(w.word) FILTER (WHERE NOT w.anywhere), true, false),
           words_pattern(array_agg(w.word) FILTER (WHERE w.anywhere), false, false),
           words_pattern(array_agg(w.word) FILTER (WHERE w.anywhere), false, true)
      INTO near, far, far_json FROM buyer_words(wanted) w;
    SELECT * INTO chain FROM buyer_chain(wanted);
    FOR found IN SELECT * FROM buyer_places(everywhere) LOOP
        EXECUTE format('UPDATE %I t SET %s WHERE t.tenant_id = $1 AND (%s)', found.place, (
            SELECT string_agg(assigned, ', ') FROM (
                SELECT format('%1$I = %2$s(t.%1$I, %3$s, $7)', name,
                              CASE kind WHEN 'text' THEN 'erased_text' ELSE 'erased_document' END,
                              CASE found.related WHEN 'false' THEN '''$.''' ELSE '$6' END) AS assigned
                  FROM (SELECT unnest(found.texts) AS name, 'text' AS kind
                        UNION ALL SELECT unnest(found.documents), 'document') AS columns) AS each),
            buyer_matches(found.texts, found.documents, found.related))
            USING tenant, wanted, chain.events, chain.decisions, chain.effects, near, far, far_json;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed > 0 THEN
            counts := counts || jsonb_build_object(
                found.place, changed + coalesce((counts ->> found.place)::bigint, 0));
        END IF;
    END LOOP;
    UPDATE label_purchase l SET document = NULL, media_type = ''
     WHERE l.tenant_id = tenant AND l.order_id = ANY (wanted) AND l.document IS NOT NULL;
    UPDATE refund_request r SET reason = 'erased'
     WHERE r.tenant_id = tenant AND r.order_id = ANY (wanted) AND r.reason <> '';
    UPDATE customer_order o SET ship_to = erased_address(o.ship_to, pseudonym), buyer_id = '', erased_at = now()
     WHERE o.tenant_id = tenant AND o.id = ANY (wanted) AND o.erased_at IS NULL;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN counts || jsonb_build_object('customer_order', changed);
END $$;

-- What an account takes the channel's word from. Two are told by the same only where all of it is the same: anybody may
-- connect a server of their own, with keys of its own.
CREATE FUNCTION channel_server(config jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[config ->> 'vendor', rtrim(config ->> 'base_url', '/'), coalesce(rtrim(config ->> 'token_url', '/'), ''),
                 coalesce(rtrim(config ->> 'notification_url', '/'), ''), coalesce(config ->> 'ca_file', '')]
$$;

-- Accounts a channel's buyer bought through: a channel tells one of them that the buyer is gone.
CREATE FUNCTION buyer_holders(telling uuid, names text[]) RETURNS TABLE (tenant_id uuid, account_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT DISTINCT a.tenant_id, a.id FROM marketplace_account t
      JOIN marketplace_account a ON a.vendor = t.vendor AND channel_server(a.config) = channel_server(t.config)
      JOIN customer_order o ON o.tenant_id = a.tenant_id AND o.account_id = a.id
     WHERE t.id = telling AND o.buyer_id <> '' AND lower(o.buyer_id) = ANY (names)
$$;

REVOKE EXECUTE ON FUNCTION erase_buyers(uuid[], text, boolean), buyer_holders(uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_buyers(uuid[], text, boolean) TO flipsync_app, flipsync_worker;
GRANT EXECUTE ON FUNCTION buyer_holders(uuid, text[]) TO flipsync_app;
