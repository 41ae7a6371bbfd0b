-- Times that applications enqueue with may end in a lower-case z, as RFC 3339 allows.
-- oldest reader: 1

-- Seconds since the epoch from RFC 3339, "2026-11-21 18:00", "18:00" (the next one) or "+10m". A time without an
-- offset is one of the session's TimeZone.
CREATE OR REPLACE FUNCTION {schema}.enqueue_time(value jsonb, key text, now double precision) RETURNS double precision
LANGUAGE plpgsql STRICT AS $$
DECLARE
    said text := {schema}.enqueue_stripped(value #>> '{}');
    zone text := current_setting('TimeZone');
    here timestamp := to_timestamp(now) AT TIME ZONE zone;
    full_form constant text := '^([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})'
        '(?:.([0-9]{2})(?:(:?)([0-9]{2})(?:\6([0-9]{2})(?:[.,]([0-9]+))?)?)?'
        '([Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?$';
    parts text[]; moment timestamp;
BEGIN
    IF jsonb_typeof(value) = 'string' AND said LIKE '+%' THEN
        RETURN now + {schema}.enqueue_duration(to_jsonb(substr(said, 2)), key);
    ELSIF jsonb_typeof(value) = 'string' AND said ~ '^[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?$' THEN
        parts := string_to_array(said || ':00', ':');
        moment := here::date + {schema}.enqueue_clock(parts[1], parts[2], parts[3], '0');
        moment := CASE WHEN moment > here THEN moment ELSE moment + interval '1 day' END;
    ELSIF jsonb_typeof(value) = 'string' AND said ~ full_form THEN
        parts := regexp_match(said, full_form);
        BEGIN
            moment := make_date(parts[1]::integer, parts[3]::integer, parts[4]::integer) + {schema}.enqueue_clock(
                coalesce(parts[5], '0'), coalesce(parts[7], '0'), coalesce(parts[8], '0'), coalesce(parts[9], '0'));
        EXCEPTION WHEN datetime_field_overflow THEN
            NULL;  -- there is no such day
        END;
        IF parts[10] IS NOT NULL THEN
            zone := 'UTC';
            moment := moment - (coalesce(parts[11], '+') || '1')::integer
                * {schema}.enqueue_clock(coalesce(parts[12], '0'), coalesce(parts[13], '0'), '0', '0');
        END IF;
    END IF;
    moment := moment AT TIME ZONE zone AT TIME ZONE 'UTC';
    IF moment IS NULL OR extract(year FROM moment) NOT BETWEEN 1 AND 9999 THEN
        PERFORM {schema}.enqueue_refuse(key || ' ' || {schema}.enqueue_quoted(value) || ' is not a time',
            'write it as 2026-11-21T18:00:00Z, ''2026-11-21 18:00'' (local time), 18:00 or +10m');
    END IF;
    RETURN extract(epoch FROM moment);
END $$;
