-- As before (guards_0026.sql), and when it is told otherwise who bought, or the buyer was forgotten. Nothing of it runs
-- when an order comes in, is reserved, made ready or shipped: those set none of these columns.
CREATE TRIGGER sale_is_due
    AFTER UPDATE OF status, tax_minor, shipping_minor, fee_minor, currency, placed_at, buyer_id, ship_to, erased_at
    ON customer_order FOR EACH ROW
    WHEN (ROW(OLD.tax_minor, OLD.shipping_minor, OLD.fee_minor, OLD.currency, OLD.placed_at,
              OLD.status IN ('paid', 'shipped', 'refunded'), OLD.status IN ('cancelled', 'failed'),
              OLD.buyer_id, OLD.ship_to ->> 'email', OLD.erased_at IS NULL)
          IS DISTINCT FROM
          ROW(NEW.tax_minor, NEW.shipping_minor, NEW.fee_minor, NEW.currency, NEW.placed_at,
              NEW.status IN ('paid', 'shipped', 'refunded'), NEW.status IN ('cancelled', 'failed'),
              NEW.buyer_id, NEW.ship_to ->> 'email', NEW.erased_at IS NULL))
    EXECUTE FUNCTION sale_is_due();
