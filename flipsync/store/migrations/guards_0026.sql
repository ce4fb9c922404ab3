-- Which orders have to be counted again. Nothing of it runs when an order comes in, is reserved, made ready or shipped:
-- new orders are found by their ids, and these triggers fire only for columns that a statement sets.

CREATE FUNCTION sale_is_due() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'customer_order' THEN
        INSERT INTO sale_due (tenant_id, order_id) VALUES (NEW.tenant_id, NEW.id);
    ELSE
        INSERT INTO sale_due (tenant_id, order_id) VALUES (NEW.tenant_id, NEW.order_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sale_is_due AFTER UPDATE OF status, tax_minor, shipping_minor, fee_minor, currency, placed_at
    ON customer_order FOR EACH ROW
    WHEN (ROW(OLD.tax_minor, OLD.shipping_minor, OLD.fee_minor, OLD.currency, OLD.placed_at,
              OLD.status IN ('paid', 'shipped', 'refunded'), OLD.status IN ('cancelled', 'failed'))
          IS DISTINCT FROM
          ROW(NEW.tax_minor, NEW.shipping_minor, NEW.fee_minor, NEW.currency, NEW.placed_at,
              NEW.status IN ('paid', 'shipped', 'refunded'), NEW.status IN ('cancelled', 'failed')))
    EXECUTE FUNCTION sale_is_due();

CREATE TRIGGER sale_is_due AFTER UPDATE OF sku, quantity, total_minor, tax_minor, cost_minor, returned
    ON order_line FOR EACH ROW
    WHEN (ROW(OLD.sku, OLD.quantity, OLD.total_minor, OLD.tax_minor, OLD.cost_minor, OLD.returned)
          IS DISTINCT FROM
          ROW(NEW.sku, NEW.quantity, NEW.total_minor, NEW.tax_minor, NEW.cost_minor, NEW.returned))
    EXECUTE FUNCTION sale_is_due();

CREATE TRIGGER sale_is_due AFTER INSERT OR UPDATE OF amount_minor ON refund
    FOR EACH ROW EXECUTE FUNCTION sale_is_due();
