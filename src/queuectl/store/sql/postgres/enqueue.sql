-- Enqueueing inside an application's own transaction: SELECT {schema}.enqueue('{"command": "echo hello"}').
--
-- This script is repeatable: after the migrations, it runs whenever its text has changed, so nothing of it is repeated
-- in a numbered one. `{rules}` and `{columns}` come from the table of a job's keys, domain/fields.py; see
-- store/postgres/function.py. Functions are replaced, never dropped: a call that runs meanwhile finds all it needs.
--
-- The checks are those of wire/kinds.py, one for each kind of value, and refuse in the same words; a test gives the
-- same input to both and compares. The server does not know where its caller is: the folder is `/` unless `cwd` is
-- given, the umask 022, and no variable is captured. Only `enqueue` is meant to be called.

-- The keys of a job, and what is known of each.
CREATE OR REPLACE FUNCTION {schema}.enqueue_rules() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT $rules${rules}$rules$::jsonb
$$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_refuse(message text, hint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, HINT = hint;
END $$;

-- A value as messages show it.
CREATE OR REPLACE FUNCTION {schema}.enqueue_shown(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN length(value::text) <= 60 THEN value::text ELSE left(value::text, 57) || '...' END
$$;

-- A text as messages about durations and times show it.
CREATE OR REPLACE FUNCTION {schema}.enqueue_quoted(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(value) WHEN 'string' THEN '''' || (value #>> '{}') || ''''
        ELSE {schema}.enqueue_shown(value) END
$$;

-- Without the blanks at both ends, by Unicode's definition of a blank.
CREATE OR REPLACE FUNCTION {schema}.enqueue_stripped(said text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT btrim(said, E' \t\n\u000B\f\r\u001C\u001D\u001E\u001F\u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004'
        '\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000')
$$;

-- How many characters have to be added, removed, changed or swapped with their neighbor. As in domain/likeness.py.
CREATE OR REPLACE FUNCTION {schema}.enqueue_distance(one text, other text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    before integer[]; above integer[]; here integer[] := ARRAY(SELECT generate_series(0, length(other)));
BEGIN
    FOR i IN 1..length(one) LOOP
        before := above;
        above := here;
        here := ARRAY[i];
        FOR j IN 1..length(other) LOOP
            here[j + 1] := least(above[j + 1] + 1, here[j] + 1,
                above[j] + CASE WHEN substr(one, i, 1) = substr(other, j, 1) THEN 0 ELSE 1 END,
                CASE WHEN substr(one, i - 1, 2) = reverse(substr(other, j - 1, 2)) AND i > 1 AND j > 1
                    THEN before[j - 1] + 1 END);
        END LOOP;
    END LOOP;
    RETURN here[length(other) + 1];
END $$;

-- The hint for an unknown word: the known one that was meant, or all of them. As in domain/likeness.py.
CREATE OR REPLACE FUNCTION {schema}.enqueue_nearest(word text, known text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    plain text := replace(ltrim(lower(left(word, 60)), '-'), '_', '-');
    meant text := {schema}.enqueue_rules() #>> ARRAY['synonyms', word];
BEGIN
    IF meant IS NULL AND length(plain) > 1 THEN
        SELECT name INTO meant FROM unnest(known) WITH ORDINALITY AS each (name, place),
            LATERAL (SELECT {schema}.enqueue_distance(plain, replace(name, '_', '-'))) AS slips (number)
        WHERE slips.number <= greatest(1, length(plain) / 4) ORDER BY slips.number, place LIMIT 1;
    END IF;
    IF meant IS NULL AND length(plain) > 2 THEN  -- an abbreviation of one key alone, or of a part of it
        SELECT min(name) INTO meant FROM unnest(known) AS name
        WHERE starts_with(replace(name, '_', '-'), plain)
            OR (plain !~ '-' AND position('-' || plain IN replace(name, '_', '-')) > 0)
        HAVING count(*) = 1;
    END IF;
    RETURN coalesce('did you mean ''' || meant || '''?', 'known: ' || array_to_string(known, ', '));
END $$;

-- JSON in ASCII alone, as specs are written.
CREATE OR REPLACE FUNCTION {schema}.enqueue_ascii(written text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN written !~ '[^\u0001-\u007E]' THEN written ELSE (
        SELECT string_agg(
            CASE WHEN code < 127 THEN sign
                WHEN code < 65536 THEN '\u' || lpad(to_hex(code), 4, '0')
                ELSE '\u' || to_hex(55296 + ((code - 65536) >> 10)) || '\u' || to_hex(56320 + ((code - 65536) & 1023))
            END, '' ORDER BY place)
        FROM regexp_split_to_table(written, '') WITH ORDINALITY AS signs (sign, place), ascii(sign) AS code
    ) END
$$;

-- A number that may have a fraction, as specs are written: it always shows one.
CREATE OR REPLACE FUNCTION {schema}.enqueue_float(value double precision) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value::text ~ '[.e]' THEN value::text ELSE coalesce(value::text || '.0', 'null') END
$$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_text(value jsonb, key text, may_be_empty boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(value) <> 'string' THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be text, not ' || {schema}.enqueue_shown(value), '');
    ELSIF value = '""' AND NOT may_be_empty THEN
        PERFORM {schema}.enqueue_refuse(key || ' is empty', '');
    END IF;
    RETURN value #>> '{}';
END $$;

-- The text of a script.
CREATE OR REPLACE FUNCTION {schema}.enqueue_script(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    script text := {schema}.enqueue_text(value, key); bytes bigint := octet_length(script);
    most bigint := ({schema}.enqueue_rules() ->> 'script_max')::bigint;
BEGIN
    IF bytes > most THEN
        PERFORM {schema}.enqueue_refuse(
            format('%s is %s bytes long; the limit is %s', key,
                   to_char(bytes, 'FM999,999,999,999'), to_char(most, 'FM999,999,999,999')),
            'keep its data elsewhere, such as in a file');
    ELSIF script ~ '^#![^\n]*\r(\n|$)' THEN
        PERFORM {schema}.enqueue_refuse('the first line of ' || key || ' ends with CR LF',
            'its lines must end with LF alone: dos2unix FILE');
    END IF;
    RETURN script;
END $$;

-- A command for the shell, or a URL.
CREATE OR REPLACE FUNCTION {schema}.enqueue_hook(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text := {schema}.enqueue_text(value, key); rules jsonb := {schema}.enqueue_rules();
BEGIN
    IF said ~* ('^' || (rules ->> 'calls')) AND said !~* ('^' || (rules ->> 'address') || '$') THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' ' || {schema}.enqueue_shown(value) || ' is not a URL', rules ->> 'address_hint');
    END IF;
    RETURN said;
END $$;

-- An id, or the name of a queue or tag.
CREATE OR REPLACE FUNCTION {schema}.enqueue_name(value jsonb, key text, signs text, in_words text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(value) <> 'string' OR (value #>> '{}') !~ ('^[' || signs || ']{1,128}$') THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' ' || {schema}.enqueue_shown(value) || ' is not valid', '1 to 128 of ' || in_words);
    END IF;
    RETURN value #>> '{}';
END $$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_whole_number(value jsonb, key text, low numeric, high numeric)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    said text := value #>> '{}'; number bigint;
BEGIN
    IF jsonb_typeof(value) IN ('number', 'string') AND said ~ '^[+-]?[0-9]{1,18}$' THEN
        number := said;
    END IF;
    IF number IS NULL OR number < low OR number > high THEN
        PERFORM {schema}.enqueue_refuse(
            format('%s must be a whole number from %s to %s, not %s', key, low, high,
                {schema}.enqueue_shown(coalesce(to_jsonb(number), value))), '');
    END IF;
    RETURN number;
END $$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_any_number(value jsonb, key text, low numeric, high numeric)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    said text := value #>> '{}'; number numeric;
BEGIN
    IF jsonb_typeof(value) = 'number'
            OR (jsonb_typeof(value) = 'string' AND said ~ '^[+-]?[0-9]{1,18}(\.[0-9]{1,255})?$') THEN
        number := said;
    END IF;
    IF number IS NULL OR number < low OR number > high THEN
        PERFORM {schema}.enqueue_refuse(
            format('%s must be a number from %s to %s, not %s', key, low, high,
                {schema}.enqueue_shown(coalesce(to_jsonb(number), value))), '');
    END IF;
    RETURN number;
END $$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_flag(value jsonb, key text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(value) NOT IN ('boolean', 'string') OR lower(value #>> '{}') NOT IN ('true', 'false') THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be true or false, not ' || {schema}.enqueue_shown(value), '');
    END IF;
    RETURN value #>> '{}';
END $$;

-- Seconds from 90, "90", "90s", "10m", "1h30m" or "2d".
CREATE OR REPLACE FUNCTION {schema}.enqueue_duration(value jsonb, key text) RETURNS double precision
LANGUAGE plpgsql STRICT AS $$
DECLARE
    said text := {schema}.enqueue_stripped(value #>> '{}');
    part constant text := '([0-9]+(?:\.[0-9]+)?)(d|h|ms|m|s)';
    units constant jsonb := '{"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}';
    seconds double precision;
BEGIN
    IF jsonb_typeof(value) = 'number' THEN
        IF said::numeric BETWEEN 0 AND 3153600000 THEN
            seconds := said::numeric;
        END IF;
    ELSIF jsonb_typeof(value) = 'string' THEN
        IF said ~ '(^|[^.0-9])[0-9]{255}' AND said ~* ('^([0-9]+(\.[0-9]+)?|(' || part || ')+)$') THEN
            seconds := 'infinity'; -- no number of the database's is so long
        ELSIF said ~ '^[0-9]+(\.[0-9]+)?$' THEN
            seconds := said::numeric;
        ELSIF said ~* ('^(' || part || ')+$') THEN
            SELECT sum(each[1]::double precision * (units ->> each[2])::double precision) INTO seconds
            FROM regexp_matches(lower(said), part, 'g') AS each;
        END IF;
    END IF;
    IF seconds > 3153600000 THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' ' || {schema}.enqueue_quoted(value) || ' is too long', 'at most 36500d');
    END IF;
    IF seconds IS NULL THEN
        PERFORM {schema}.enqueue_refuse(key || ' ' || {schema}.enqueue_quoted(value) || ' is not a duration',
            'write it as 90, 90s, 10m, 1h30m or 2d');
    END IF;
    RETURN seconds;
END $$;

-- Bytes from 1048576, "1048576", "64k", "512m", "4g" or "1t".
CREATE OR REPLACE FUNCTION {schema}.enqueue_size(value jsonb, key text, low numeric, high numeric) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    said constant text[] := regexp_match(
        lower({schema}.enqueue_stripped(value #>> '{}')), '^([0-9]{1,18})([kmgt]?)(i?b)?$');
    bytes constant numeric := said[1]::numeric * 1024::numeric ^ (strpos('kmgt', said[2]) * (said[2] <> '')::integer);
BEGIN
    IF bytes IS NULL OR jsonb_typeof(value) NOT IN ('number', 'string') OR bytes NOT BETWEEN low AND high THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be a size, not ' || {schema}.enqueue_shown(value),
            'write it as 64k, 10m or 1g; from ' || {schema}.enqueue_size_shown(low)
            || ' to ' || {schema}.enqueue_size_shown(high));
    END IF;
    RETURN trunc(bytes);
END $$;

-- A size as messages show it.
CREATE OR REPLACE FUNCTION {schema}.enqueue_size_shown(bytes numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT div(bytes, 1024::numeric ^ power) || substr('kmgt', power, 1)
    FROM generate_series(4, 0, -1) AS power WHERE bytes % (1024::numeric ^ power) = 0 LIMIT 1
$$;

-- A time of day, or null where there is no such time.
CREATE OR REPLACE FUNCTION {schema}.enqueue_clock(hour text, minute text, second text, fraction text) RETURNS interval
LANGUAGE sql IMMUTABLE AS $$
    SELECT make_interval(hours => hour::integer, mins => minute::integer, secs => second::integer)
        + rpad(left(fraction, 6), 6, '0')::integer * interval '1 microsecond'
    WHERE hour::integer < 24 AND minute::integer < 60 AND second::integer < 60
$$;

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

-- A path without `.`, `..` and doubled slashes.
CREATE OR REPLACE FUNCTION {schema}.enqueue_path(value jsonb, key text) RETURNS text LANGUAGE plpgsql STRICT AS $$
DECLARE
    path text := {schema}.enqueue_text(value, key); part text; kept text[] := '{}';
BEGIN
    IF path NOT LIKE '/%' THEN
        PERFORM {schema}.enqueue_refuse(key || ' must begin with a slash, not ' || {schema}.enqueue_shown(value),
            'a database has no folder to begin from');
    END IF;
    FOREACH part IN ARRAY string_to_array(path, '/') LOOP
        IF part = '..' THEN
            kept := kept[1:cardinality(kept) - 1];
        ELSIF part NOT IN ('', '.') THEN
            kept := kept || part;
        END IF;
    END LOOP;
    RETURN CASE WHEN path LIKE '//%' AND path NOT LIKE '///%' THEN '//' ELSE '/' END || array_to_string(kept, '/');
END $$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_exit_codes(value jsonb, key text) RETURNS text LANGUAGE plpgsql STRICT AS $$
DECLARE
    said text := value #>> '{}'; code jsonb; codes integer[] := '{}';
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        SELECT jsonb_agg({schema}.enqueue_stripped(part)) INTO value FROM regexp_split_to_table(said, ',') AS part;
    ELSIF jsonb_typeof(value) = 'boolean' OR (jsonb_typeof(value) = 'number' AND said !~ '[.]') THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' must be a list of exit codes, not ' || {schema}.enqueue_shown(value), '');
    END IF;
    FOR code IN SELECT jsonb_array_elements(value) LOOP
        codes := codes || {schema}.enqueue_whole_number(code, 'an exit code of ' || key, 1, 255);
    END LOOP;
    RETURN '[' || array_to_string(codes, ',') || ']';
END $$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_umask(value jsonb, key text) RETURNS integer LANGUAGE plpgsql STRICT AS $$
DECLARE
    digits text := replace(value #>> '{}', 'o', ''); mask integer := 0;
BEGIN
    IF jsonb_typeof(value) = 'string' AND (value #>> '{}') ~ '^0?o?[0-7]{1,4}$' THEN
        FOR at IN 1..length(digits) LOOP
            mask := mask * 8 + substr(digits, at, 1)::integer;
        END LOOP;
        IF mask < 512 THEN
            RETURN mask;
        END IF;
    END IF;
    PERFORM {schema}.enqueue_refuse(
        key || ' must be octal text from 000 to 777, not ' || {schema}.enqueue_shown(value), 'write it as "022"');
END $$;

-- Variables as specs are written.
CREATE OR REPLACE FUNCTION {schema}.enqueue_env(value jsonb, key text) RETURNS text LANGUAGE plpgsql STRICT AS $$
DECLARE
    name text; content jsonb; result text; bytes bigint;
BEGIN
    IF jsonb_typeof(value) <> 'object' THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' must be an object of names and values, not ' || {schema}.enqueue_shown(value), '');
    END IF;
    FOR name, content IN SELECT * FROM jsonb_each(value) LOOP
        IF name = '' OR name ~ '[= \t\n\r\v\f]' THEN
            PERFORM {schema}.enqueue_refuse(
                format('%s has a variable named ''%s''; a name has neither blanks nor =', key, name), '');
        END IF;
        PERFORM {schema}.enqueue_text(content, key || ' variable ' || name, may_be_empty => true);
        bytes := octet_length(convert_to(name || '=' || (content #>> '{}'), 'UTF8'));
        IF bytes > 131071 THEN
            PERFORM {schema}.enqueue_refuse(
                format('%s variable %s is %s bytes long; the limit is 131,071', key, name,
                    to_char(bytes, 'FM999,999,999,999')),
                'put it into a file, and have the variable name that');
        END IF;
    END LOOP;
    SELECT string_agg(to_jsonb(each.key)::text || ':' || each.value::text, ',' ORDER BY each.key COLLATE "C")
    INTO result FROM jsonb_each(value) AS each;
    RETURN '{' || coalesce(result, '') || '}';
END $$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_check_size(bytes bigint, most bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF bytes > most THEN
        PERFORM {schema}.enqueue_refuse(
            format('command is %s bytes long; the limit is %s',
                to_char(bytes, 'FM999,999,999,999'), to_char(most, 'FM999,999,999,999')),
            'put it into a script file, or feed the data with stdin=FILE');
    END IF;
END $$;

-- A command as a line that a shell would read the same way.
CREATE OR REPLACE FUNCTION {schema}.enqueue_command(value jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text; word jsonb; quoted text[] := '{}'; bytes bigint := -1;
BEGIN
    IF jsonb_typeof(value) <> 'array' THEN
        line := {schema}.enqueue_text(value, 'command', may_be_empty => true);
        IF {schema}.enqueue_stripped(line) = '' THEN
            PERFORM {schema}.enqueue_refuse('command is empty', 'give one, e.g. {"command": "echo hello"}');
        END IF;
        PERFORM {schema}.enqueue_check_size(octet_length(convert_to(line, 'UTF8')), 131071);
        RETURN line;
    ELSIF value = '[]' THEN
        PERFORM {schema}.enqueue_refuse('command is an empty list', 'its first word is the program to run');
    END IF;
    FOR word IN SELECT jsonb_array_elements(value) LOOP
        line := {schema}.enqueue_text(word, 'a word of command', may_be_empty => true);
        PERFORM {schema}.enqueue_check_size(octet_length(convert_to(line, 'UTF8')), 131071);
        bytes := bytes + 1 + octet_length(convert_to(line, 'UTF8'));
        quoted := quoted || CASE WHEN line ~ '^[A-Za-z0-9_@%+=:,./-]+$' THEN line
            ELSE '''' || replace(line, '''', '''"''"''') || '''' END;
    END LOOP;
    IF value ->> 0 = '' THEN
        PERFORM {schema}.enqueue_refuse('command''s first word is empty', 'it is the program to run');
    END IF;
    PERFORM {schema}.enqueue_check_size(bytes, 1048576);
    RETURN array_to_string(quoted, ' ');
END $$;

-- A list of names, each once.
CREATE OR REPLACE FUNCTION {schema}.enqueue_names(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tag jsonb; kept text[] := '{}'; name text;
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be a list of words, not ' || {schema}.enqueue_shown(value), '');
    END IF;
    FOR tag IN SELECT jsonb_array_elements(value) LOOP
        name := {schema}.enqueue_name(tag, 'tag', 'A-Za-z0-9._:/@+-', 'A-Z a-z 0-9 . _ : / @ + -');
        kept := kept || CASE WHEN name = ANY (kept) THEN '{}' ELSE ARRAY[name] END;
    END LOOP;
    RETURN array_to_json(kept);
END $$;

-- A unique key: any text that is not too long for an index.
CREATE OR REPLACE FUNCTION {schema}.enqueue_key(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said constant text := {schema}.enqueue_text(value, key);
    bytes constant integer := octet_length(convert_to(said, 'UTF8'));
    most constant integer := ({schema}.enqueue_rules() -> 'key_bytes_max')::integer;
BEGIN
    IF bytes > most THEN
        PERFORM {schema}.enqueue_refuse(format('%s is %s bytes long; the limit is %s',
            key, to_char(bytes, 'FM999,999,999,999'), most), 'use a hash of it');
    END IF;
    RETURN said;
END $$;

-- How many jobs of a batch may be dead: a number of them, or a percentage of the batch.
CREATE OR REPLACE FUNCTION {schema}.enqueue_allowance(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said constant text := {schema}.enqueue_stripped(value #>> '{}');
BEGIN
    IF said IS NULL OR jsonb_typeof(value) NOT IN ('number', 'string') OR said !~ '^([0-9]{1,9}|[0-9]{1,2}%|100%)$' THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' must be a whole number or a percentage, not ' || {schema}.enqueue_shown(value), 'write it as 3 or 5%');
    END IF;
    RETURN rtrim(said, '%')::integer || CASE WHEN right(said, 1) = '%' THEN '%' ELSE '' END;
END $$;

-- Keeps what is set for a batch, if anything is: last, once all else is locked. See store/shared/batches.py. Two
-- transactions that set the same do not wait for each other.
CREATE OR REPLACE FUNCTION {schema}.enqueue_set_batch(batch_name text, most integer, fails text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF most IS NULL AND fails IS NULL THEN
        RETURN;
    END IF;
    PERFORM 1 FROM {schema}.batches WHERE name = batch_name AND (most IS NULL OR at_most = most)
        AND (fails IS NULL OR max_fails = fails) FOR KEY SHARE;
    IF FOUND THEN
        RETURN;
    END IF;
    INSERT INTO {schema}.batches (name, at_most, max_fails) VALUES (batch_name, most, fails)
    ON CONFLICT (name) DO UPDATE SET at_most = coalesce(excluded.at_most, batches.at_most),
        max_fails = coalesce(excluded.max_fails, batches.max_fails);
    IF most IS NOT NULL THEN
        INSERT INTO {schema}.locks (name, units) VALUES ('batch:' || batch_name, most::text)
        ON CONFLICT (name) DO UPDATE SET units = excluded.units;
    END IF;
    INSERT INTO {schema}.settlements (batch, meant) VALUES (batch_name, CASE WHEN most IS NOT NULL THEN 'limited' END);
END $$;

-- The locks of a job that also needs a unit of this one.
CREATE OR REPLACE FUNCTION {schema}.enqueue_with_lock(locks jsonb, lock text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_agg(each ORDER BY split_part(each, '=', 1) COLLATE "C") FROM (
        SELECT jsonb_array_elements_text(coalesce(nullif(locks, 'null'), '[]'))
        UNION ALL SELECT lock WHERE NOT EXISTS (
            SELECT 1 FROM jsonb_array_elements_text(coalesce(nullif(locks, 'null'), '[]')) AS given
            WHERE split_part(given, '=', 1) = lock)
    ) AS needed (each)
$$;

-- What to do where a unique key or id is taken.
CREATE OR REPLACE FUNCTION {schema}.enqueue_rule(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    known constant jsonb := {schema}.enqueue_rules() -> 'on_conflict';
BEGIN
    IF jsonb_typeof(value) <> 'string' OR NOT known @> value THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be one of '
            || (SELECT string_agg(each, ', ') FROM jsonb_array_elements_text(known) AS each)
            || ', not ' || {schema}.enqueue_shown(value), '');
    END IF;
    RETURN value #>> '{}';
END $$;

-- Units of locks, by name.
CREATE OR REPLACE FUNCTION {schema}.enqueue_locks(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    most constant integer := ({schema}.enqueue_rules() -> 'capacity_max')::integer;
    said jsonb; name text; units bigint; wanted jsonb := '{}';
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM {schema}.enqueue_refuse(
            key || ' must be a list of NAME or NAME=N, not ' || {schema}.enqueue_shown(value), '');
    END IF;
    FOR said IN SELECT jsonb_array_elements(value) LOOP
        name := split_part(said #>> '{}', '=', 1);
        IF jsonb_typeof(said) <> 'string' OR name !~ '^[A-Za-z0-9._:/@+-]{1,128}$' THEN
            PERFORM {schema}.enqueue_refuse('lock ' || {schema}.enqueue_shown(said) || ' is not valid',
                'NAME or NAME=N; NAME is 1 to 128 of A-Z a-z 0-9 . _ : / @ + -');
        END IF;
        units := CASE WHEN strpos(said #>> '{}', '=') = 0 THEN 1 ELSE {schema}.enqueue_whole_number(
            to_jsonb(substr(said #>> '{}', length(name) + 2)), 'the units of lock ' || name, 1, most) END;
        wanted := wanted || jsonb_build_object(name, units + coalesce((wanted -> name)::bigint, 0));
    END LOOP;
    RETURN (SELECT coalesce(json_agg(
        CASE each.value WHEN '1' THEN each.key ELSE each.key || '=' || each.value END ORDER BY each.key COLLATE "C"
    ), '[]') FROM jsonb_each_text(wanted) AS each);
END $$;

-- Names of variables whose values only the worker knows, each once.
CREATE OR REPLACE FUNCTION {schema}.enqueue_secrets(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint constant text := 'a variable''s name: A-Z a-z 0-9 _, no digit first, not QUEUECTL_…';
    said jsonb; kept text[] := '{}';
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := jsonb_build_array(value);
    END IF;
    IF jsonb_typeof(value) <> 'array' OR value @? 'strict $[*] ? (@.type() != "string")' THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be a list of names', hint);  -- what is given may hold the secret
    END IF;
    FOR said IN SELECT jsonb_array_elements(value) LOOP
        IF (said #>> '{}') !~ '^(?!QUEUECTL_)[A-Za-z_][A-Za-z0-9_]{0,127}$' THEN  -- what follows is likely the secret
            said := to_jsonb(regexp_replace(said #>> '{}', '([^A-Za-z0-9_. -]).*', E'\\1…'));
            PERFORM {schema}.enqueue_refuse('secret ' || {schema}.enqueue_shown(said) || ' is not valid', hint);
        END IF;
        kept := kept || CASE WHEN (said #>> '{}') = ANY (kept) THEN '{}' ELSE ARRAY[said #>> '{}'] END;
    END LOOP;
    RETURN array_to_json(kept);
END $$;

-- What a job depends on, as a list: each once, in the shortest spelling.
CREATE OR REPLACE FUNCTION {schema}.enqueue_dependencies(value jsonb, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said jsonb; name text; spelled text; found jsonb := '[]';
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM {schema}.enqueue_refuse(key || ' must be a list of ids, not ' || {schema}.enqueue_shown(value), '');
    END IF;
    FOR said IN SELECT jsonb_array_elements(value) LOOP
        name := regexp_replace(said #>> '{}', ':(ok|any|failed)$', '');
        IF jsonb_typeof(said) <> 'string'
            OR name !~ '^(batch:[A-Za-z0-9._:/@+-]{1,128}|(?!batch:)[A-Za-z0-9._:-]{1,128})$'
        THEN
            PERFORM {schema}.enqueue_refuse(key || ' ' || {schema}.enqueue_shown(said) || ' is not valid',
                'ID or batch:NAME, perhaps with :any or :failed after it');
        END IF;
        spelled := CASE WHEN said #>> '{}' ~ ':ok$' AND name !~ ':(ok|any|failed)$' THEN name ELSE said #>> '{}' END;
        IF NOT found ? spelled THEN
            found := found || to_jsonb(spelled);
        END IF;
    END LOOP;
    RETURN found;
END $$;

-- The edges from a new job to what it depends on, which must be there, each once. Nothing is decided here: the trigger
-- of `edges` has somebody look at what has ended already when this transaction commits.
CREATE OR REPLACE FUNCTION {schema}.enqueue_edges(depends_on jsonb) RETURNS TABLE (
    ref text, parent bigint, batch text, wants text
) LANGUAGE plpgsql AS $$
DECLARE
    said text; name text; full_id text; hits text[]; found text[] := '{}';
BEGIN
    FOR said IN SELECT jsonb_array_elements_text(depends_on) LOOP
        name := regexp_replace(said, ':(ok|any|failed)$', '');
        wants := coalesce(substring(said FROM ':(ok|any|failed)$'), 'ok');
        IF starts_with(name, 'batch:') THEN
            parent := NULL;
            batch := substr(name, 7);
            IF NOT EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.batch = substr(name, 7))
                    AND NOT EXISTS (SELECT 1 FROM {schema}.batches WHERE batches.name = batch) THEN
                PERFORM {schema}.enqueue_missing('batch ' || batch, 'see them with: queuectl batch list');
            END IF;
            IF said <> ALL (found) THEN
                INSERT INTO {schema}.settlements (batch) VALUES (substr(name, 7));
                ref := said;
                found := found || ref;
                RETURN NEXT;
            END IF;
            CONTINUE;
        END IF;
        batch := NULL;
        SELECT jobs.seq, jobs.id INTO parent, full_id FROM {schema}.jobs WHERE jobs.id = name;
        IF parent IS NULL AND length(name) >= {prefix_min} THEN
            SELECT min(hit.seq), min(hit.id), array_agg(hit.id ORDER BY hit.id) INTO parent, full_id, hits FROM (
                SELECT seq, id FROM {schema}.jobs
                WHERE generated_id AND jobs.id >= name AND jobs.id < name || '~' LIMIT 3
            ) AS hit;
            IF array_length(hits, 1) > 1 THEN
                PERFORM {schema}.enqueue_refuse(
                    name || ' could be ' || array_to_string(hits, ' or '), 'type more of the id');
            END IF;
        END IF;
        IF parent IS NULL THEN
            PERFORM {schema}.enqueue_missing('job ' || name, 'see the ids with: queuectl list');
        END IF;
        ref := full_id || substr(said, length(name) + 1);
        IF ref = ANY (found) THEN
            CONTINUE;
        END IF;
        found := found || ref;
        RETURN NEXT;
    END LOOP;
END $$;

-- Refuses a job, whose row and edges are written, that waits for its own batch, be it over others. See
-- store/shared/arriving.py.
CREATE OR REPLACE FUNCTION {schema}.enqueue_check_batch(job text, number bigint, own text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    other text;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM {schema}.edges WHERE batch = own) THEN
        RETURN;
    END IF;
    WITH RECURSIVE up (seq) AS (SELECT number UNION
        SELECT next.seq FROM up JOIN {schema}.edges ON edges.child = up.seq
            AND (edges.verdict IS NULL OR (edges.verdict = 1 AND edges.batch IS NOT NULL))
        JOIN {schema}.jobs AS next ON (next.seq = edges.parent OR next.batch = edges.batch) AND next.state = 'blocked'
    ) SELECT jobs.id INTO other FROM up JOIN {schema}.edges ON edges.child = up.seq JOIN {schema}.jobs ON jobs.seq = up.seq
    WHERE edges.batch = own AND coalesce(edges.verdict, 1) = 1 ORDER BY jobs.seq LIMIT 1;
    IF other = job THEN
        PERFORM {schema}.enqueue_refuse(
            format('job %s cannot wait for its own batch %s', job, own), 'leave one of the two out');
    ELSIF FOUND THEN
        PERFORM {schema}.enqueue_refuse(format('jobs wait for each other: %s of batch %s after %s after batch:%s',
            job, own, other, own), 'leave out one of these');
    END IF;
END $$;

-- Whether jobs wait for a batch, or were cancelled for it, so that it decides about them. A fixed snapshot cannot tell.
CREATE OR REPLACE FUNCTION {schema}.enqueue_is_awaited(name text) RETURNS boolean LANGUAGE sql AS $$
    SELECT name IS NOT NULL AND (current_setting('transaction_isolation') <> 'read committed' OR EXISTS (
        SELECT 1 FROM {schema}.edges JOIN {schema}.jobs AS child ON child.seq = edges.child
        WHERE edges.batch = name AND child.unmet > 0))
$$;

CREATE OR REPLACE FUNCTION {schema}.enqueue_missing(what text, hint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = 'no ' || what, HINT = hint;
END $$;

-- Refuses a job that needs more units than a lock has. One that nobody has set has one.
CREATE OR REPLACE FUNCTION {schema}.enqueue_check_units(job text, wanted jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lock text; needed integer; known jsonb; capacity integer;
BEGIN
    FOR lock, needed IN SELECT split_part(said, '=', 1), coalesce(nullif(split_part(said, '=', 2), ''), '1')::integer
        FROM jsonb_array_elements_text(wanted) AS said
    LOOP
        SELECT units::jsonb INTO known FROM {schema}.locks WHERE name = lock;
        capacity := CASE jsonb_typeof(known) WHEN 'array' THEN jsonb_array_length(known)
            WHEN 'number' THEN known::text::integer ELSE 1 END;
        IF needed > capacity THEN
            PERFORM {schema}.enqueue_refuse(
                format('%s needs %s units of lock %s, which has %s', job, needed, lock, capacity),
                'give it more: queuectl lock set ' || CASE WHEN lock LIKE '-%' THEN '-- ' ELSE '' END || lock || ' ' || CASE
                    WHEN jsonb_typeof(known) = 'array' AND known <>
                        (SELECT jsonb_agg(number::text) FROM generate_series(0, capacity - 1) AS number)
                    THEN 'units='
                        || (SELECT string_agg(unit, ',') FROM jsonb_array_elements_text(known) AS unit) || ',…'
                    ELSE needed::text END);
        END IF;
    END LOOP;
END $$;

-- A job with keys that older releases do not know: none of theirs may take it. See store/shared/limits.py.
CREATE OR REPLACE FUNCTION {schema}.enqueue_guard() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    reader constant text := {schema}.enqueue_rules() ->> 'reader';
BEGIN
    -- Nobody waits for a transaction that an application leaves open. If that one is taken back, the first claim does this.
    UPDATE {schema}.meta SET value = reader WHERE name IN (
        SELECT name FROM {schema}.meta WHERE name LIKE 'oldest reader of schema %' AND value::integer < reader::integer
        FOR UPDATE SKIP LOCKED
    );
    IF FOUND THEN
        UPDATE {schema}.workers SET epoch = epoch + 1 WHERE schema IS NULL OR schema < reader::integer;
    END IF;
END $$;

-- What is kept of a key's value, as JSON in the form that specs are written in. One check for each kind.
CREATE OR REPLACE FUNCTION {schema}.enqueue_value(key text, value jsonb) RETURNS text LANGUAGE plpgsql STRICT AS $$
DECLARE
    rule jsonb := {schema}.enqueue_rules() -> 'fields' -> key;
    seconds double precision;
BEGIN
    CASE rule ->> 'kind'
        WHEN 'id' THEN
            RETURN to_json({schema}.enqueue_name(value, key, 'A-Za-z0-9._:-', 'A-Z a-z 0-9 . _ : -'));
        WHEN 'name' THEN
            RETURN to_json({schema}.enqueue_name(value, key, 'A-Za-z0-9._:/@+-', 'A-Z a-z 0-9 . _ : / @ + -'));
        WHEN 'names' THEN
            RETURN {schema}.enqueue_names(value, key);
        WHEN 'locks' THEN
            RETURN {schema}.enqueue_locks(value, key);
        WHEN 'secrets' THEN
            RETURN {schema}.enqueue_secrets(value, key);
        WHEN 'dependencies' THEN
            RETURN {schema}.enqueue_dependencies(value, key);
        WHEN 'key' THEN
            RETURN to_json({schema}.enqueue_key(value, key));
        WHEN 'rule' THEN
            RETURN to_json({schema}.enqueue_rule(value, key));
        WHEN 'allowance' THEN
            RETURN to_json({schema}.enqueue_allowance(value, key));
        WHEN 'command' THEN
            RETURN to_json({schema}.enqueue_command(value));
        WHEN 'filled text' THEN
            RETURN to_json({schema}.enqueue_text(value, key));
        WHEN 'hook' THEN
            RETURN to_json({schema}.enqueue_hook(value, key));
        WHEN 'script' THEN
            RETURN to_json({schema}.enqueue_script(value, key));
        WHEN 'path' THEN
            RETURN to_json({schema}.enqueue_path(value, key));
        WHEN 'whole number' THEN
            RETURN {schema}.enqueue_whole_number(value, key, (rule ->> 'low')::numeric, (rule ->> 'high')::numeric);
        WHEN 'number' THEN
            RETURN {schema}.enqueue_float(
                {schema}.enqueue_any_number(value, key, (rule ->> 'low')::numeric, (rule ->> 'high')::numeric));
        WHEN 'flag' THEN
            RETURN to_json({schema}.enqueue_flag(value, key));
        WHEN 'duration' THEN
            RETURN {schema}.enqueue_float({schema}.enqueue_duration(value, key));
        WHEN 'positive duration', 'duration or none' THEN
            IF rule ->> 'kind' = 'duration or none' AND value = '"none"' THEN
                RETURN NULL;
            END IF;
            seconds := {schema}.enqueue_duration(value, key);
            IF seconds = 0 THEN
                PERFORM {schema}.enqueue_refuse(
                    key || ' must be longer than 0, not ' || {schema}.enqueue_shown(value), '');
            END IF;
            RETURN {schema}.enqueue_float(seconds);
        WHEN 'size' THEN
            RETURN {schema}.enqueue_size(value, key, (rule ->> 'low')::numeric, (rule ->> 'high')::numeric);
        WHEN 'exit codes' THEN
            RETURN {schema}.enqueue_exit_codes(value, key);
        WHEN 'umask' THEN
            RETURN {schema}.enqueue_umask(value, key);
        WHEN 'variables' THEN
            RETURN {schema}.enqueue_env(value, key);
    END CASE;
END $$;

-- The input's keys under their own names, without null values but those that say that there is no hook; refuses what a
-- new job cannot have.
CREATE OR REPLACE FUNCTION {schema}.enqueue_keys(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    rules constant jsonb := {schema}.enqueue_rules();
    given text; key text; value jsonb; keys jsonb := '{}'; setter text; fixed jsonb; may_lift boolean;
BEGIN
    IF job IS NULL OR jsonb_typeof(job) <> 'object' THEN
        PERFORM {schema}.enqueue_refuse(
            'a job must be a JSON object, not ' || coalesce({schema}.enqueue_shown(job), 'null'),
            'e.g. {"command": "echo hello"}');
    END IF;
    FOR given, value IN SELECT * FROM jsonb_each(job) LOOP
        key := replace(given, '-', '_');
        key := coalesce(rules #>> ARRAY['aliases', key], key);
        setter := rules #>> ARRAY['setters', key];
        fixed := rules #> ARRAY['only', key];
        IF rules -> 'fields' ? key THEN
            may_lift := rules -> 'lifted' ? key;
            IF (value <> 'null' OR may_lift) AND keys ? key THEN
                PERFORM {schema}.enqueue_refuse(key || ' comes twice', 'give it once');
            ELSIF value <> 'null' OR may_lift THEN
                keys := keys || jsonb_build_object(key, CASE WHEN may_lift AND value = '"none"' THEN 'null' ELSE value END);
            END IF;
        ELSIF setter IS NULL THEN
            PERFORM {schema}.enqueue_refuse('unknown key ''' || given || '''',
                {schema}.enqueue_nearest(key, ARRAY(SELECT jsonb_array_elements_text(rules -> 'known'))));
        ELSIF fixed IS NOT NULL THEN
            IF value <> fixed -> 0 THEN
                PERFORM {schema}.enqueue_refuse(key || ' cannot be set to ' || {schema}.enqueue_shown(value),
                    (fixed ->> 1) || '; leave the key out');
            END IF;
        ELSIF value = 'null' OR setter = 'ignored' THEN
            CONTINUE;
        ELSE
            PERFORM {schema}.enqueue_refuse(key || ' is written by queuectl and cannot be set', 'leave the key out');
        END IF;
    END LOOP;
    IF NOT keys ? 'command' THEN
        PERFORM {schema}.enqueue_refuse('a job needs a command', 'e.g. {"command": "echo hello"}');
    END IF;
    IF NOT keys ? 'unique_key' AND (keys ? 'unique_for' OR keys -> 'on_conflict' = '"replace"') THEN
        PERFORM {schema}.enqueue_refuse(
            CASE keys -> 'on_conflict' WHEN '"replace"' THEN 'on_conflict replace' ELSE 'unique_for' END
            || ' needs a unique key', 'give unique_key too');
    END IF;
    IF NOT keys ? 'batch' AND keys ?| '{at_most,max_fails}' THEN
        PERFORM {schema}.enqueue_refuse(
            CASE WHEN keys ? 'at_most' THEN 'at_most' ELSE 'max_fails' END || ' needs a batch', 'give batch too');
    END IF;
    FOR given, key IN SELECT pair ->> 0, pair ->> 1 FROM jsonb_array_elements(rules -> 'exclusive') AS pair LOOP
        IF keys ? given AND keys ? key THEN
            PERFORM {schema}.enqueue_refuse(format('%s and %s exclude each other', given, key), 'give one of them');
        END IF;
    END LOOP;
    RETURN keys;
END $$;

-- A job's spec as text: what was given, over what is set for its queue, over the settings of this moment, over the
-- defaults.
CREATE OR REPLACE FUNCTION {schema}.enqueue_spec(keys jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    defaults constant jsonb := {schema}.enqueue_rules() -> 'spec';
    given jsonb; key text; usual jsonb; spec text; both_codes integer;
BEGIN
    SELECT coalesce(jsonb_object_agg(replace(name, '-', '_'), value), '{}') || coalesce(
        (SELECT queues.defaults::jsonb FROM {schema}.queues
         WHERE queues.name = coalesce(keys ->> 'queue', {schema}.enqueue_rules() #>> '{columns,queue}')), '{}'
    ) || keys INTO given FROM {schema}.config
    WHERE defaults ? replace(name, '-', '_')
    AND (name, value) NOT IN (('timeout', 'none'), ('timeout', 'off'), ('backoff-initial', 'backoff-base'));
    IF given ? 'backoff_base' AND NOT given ? 'backoff_initial' THEN
        given := given || jsonb_build_object(
            'backoff_initial', {schema}.enqueue_value('backoff_base', given -> 'backoff_base')::jsonb);
    END IF;
    IF given ? 'script' AND jsonb_typeof(given -> 'command') = 'string' THEN
        PERFORM {schema}.enqueue_refuse('the command of a script is not a list',
            'its name and arguments, e.g. ["train.sh", "--fast"]');
    END IF;
    IF given ?& '{retry_on,fatal_on}' THEN
        SELECT min(code::integer) INTO both_codes
        FROM jsonb_array_elements_text({schema}.enqueue_value('retry_on', given -> 'retry_on')::jsonb) AS code
        WHERE {schema}.enqueue_value('fatal_on', given -> 'fatal_on')::jsonb @> to_jsonb(code::integer);
        IF both_codes IS NOT NULL THEN
            PERFORM {schema}.enqueue_refuse('exit code ' || both_codes || ' is in retry_on and in fatal_on',
                'either it retries, or it never does');
        END IF;
    END IF;
    IF keys ?& '{env,secrets}' THEN
        SELECT min(name COLLATE "C") INTO key
        FROM jsonb_array_elements_text({schema}.enqueue_value('secrets', keys -> 'secrets')::jsonb) AS name
        WHERE {schema}.enqueue_value('env', keys -> 'env')::jsonb ? name;
        IF key IS NOT NULL THEN
            PERFORM {schema}.enqueue_refuse('variable ' || key || ' is in env and in secrets',
                'a secret''s value is the worker''s alone');
        END IF;
    END IF;
    FOR key, usual IN
        SELECT each.key, each.value FROM jsonb_each(
            defaults || (SELECT coalesce(jsonb_object_agg(later, given -> later), '{}')
                         FROM jsonb_array_elements_text({schema}.enqueue_rules() -> 'later') AS later
                         WHERE given ? later AND given -> later <> 'null')
        ) AS each ORDER BY each.key COLLATE "C"
    LOOP
        spec := concat_ws(',', spec,
            to_json(key) || ':' || coalesce({schema}.enqueue_value(key, given -> key), usual::text));
    END LOOP;
    RETURN {schema}.enqueue_ascii('{' || spec || '}');
END $$;

-- The number of a spec. Whoever gets the lock adds a new spec that others share (see `add_spec` in queries.sql).
-- Without the lock, the job gets a copy of its own: nobody waits for a transaction that an application leaves open.
CREATE OR REPLACE FUNCTION {schema}.enqueue_spec_number(body text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    print bytea := sha256(convert_to(body, 'UTF8')); number bigint;
BEGIN
    SELECT id INTO number FROM {schema}.specs WHERE digest = print FOR KEY SHARE;
    IF number IS NULL AND pg_try_advisory_xact_lock(1903519093, get_byte(print, 0)) THEN
        INSERT INTO {schema}.specs (digest, body) VALUES (print, body) ON CONFLICT (digest) DO NOTHING
        RETURNING id INTO number;
    END IF;
    IF number IS NULL THEN
        INSERT INTO {schema}.specs (digest, body) VALUES (sha256(print || uuid_send(gen_random_uuid())), body)
        RETURNING id INTO number;
    END IF;
    RETURN number;
END $$;

-- A new id: ten random characters.
CREATE OR REPLACE FUNCTION {schema}.enqueue_new_id() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + (get_byte(bits, at) & 31), 1), '')
    FROM uuid_send(gen_random_uuid()) AS bits, unnest('{0,1,2,3,4,5,9,10,11,12}'::integer[]) AS at
$$;

-- Takes a unique key for a new job, unless another one holds it: that one is returned. With `locked`, nobody else changes
-- who holds the key until this transaction ends. See store/shared/unique.py.
CREATE OR REPLACE FUNCTION {schema}.enqueue_take_key(wanted text, new_id text, now double precision, locked boolean)
RETURNS {schema}.jobs LANGUAGE plpgsql AS $$
DECLARE
    held {schema}.unique_keys; holder {schema}.jobs;
BEGIN
    LOOP
        INSERT INTO {schema}.unique_keys (key, job) VALUES (wanted, new_id) ON CONFLICT (key) DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        IF locked THEN
            SELECT * INTO held FROM {schema}.unique_keys WHERE key = wanted FOR UPDATE;
        ELSE
            SELECT * INTO held FROM {schema}.unique_keys WHERE key = wanted;
        END IF;
        CONTINUE WHEN NOT FOUND;
        SELECT jobs.* INTO holder FROM {schema}.jobs
        WHERE id IN (held.job, held.before) AND unique_key = wanted
            AND (unique_until > now OR state NOT IN ('completed', 'dead', 'cancelled')
                AND NOT coalesce(state IN ('blocked', 'pending') AND start_by <= now, false))  -- a worker will cancel it
        ORDER BY state IN ('completed', 'dead', 'cancelled'), id = held.job DESC LIMIT 1;
        IF FOUND AND locked AND holder.state IN ('pending', 'blocked', 'failed') THEN  -- it may be changed
            SELECT * INTO holder FROM {schema}.jobs WHERE seq = holder.seq AND state = holder.state FOR UPDATE;
            CONTINUE WHEN NOT FOUND;
        END IF;
        IF holder.id IS NOT NULL THEN
            RETURN holder;
        ELSIF locked THEN
            UPDATE {schema}.unique_keys SET job = new_id, before = NULL WHERE key = wanted;
            RETURN NULL;
        END IF;
        locked := true;
    END LOOP;
END $$;

-- The number of a batch's lock. See `turn_batches` in queries.sql.
CREATE OR REPLACE FUNCTION {schema}.enqueue_batch_key(name text, kind text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT ('x' || encode(substring(sha256(convert_to(current_schema() || ' ' || kind, 'UTF8')) FOR 7)
        || substring(sha256(convert_to(name, 'UTF8')) FOR 1), 'hex'))::bit(64)::bigint
$$;

-- Gives a job that waits the values of a later one with its key. Equal to lifecycle.apply(job, Replaced).
CREATE OR REPLACE FUNCTION {schema}.enqueue_replace(
    was {schema}.jobs, kept jsonb, new_line text, new_words text, new_spec bigint, now double precision,
    due double precision, delay double precision, start_limit double precision, key_for double precision
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    new {schema}.jobs := jsonb_populate_record(NULL::{schema}.jobs, kept);
    new_state constant text := CASE was.state WHEN 'blocked' THEN 'blocked' ELSE 'pending' END;
    at constant double precision := CASE WHEN delay > 0 THEN least(due, was.created_at + {delays_max} * delay) ELSE due END;
BEGIN
    UPDATE {schema}.jobs SET
        command = new_line, words = new_words, spec = new_spec, queue = new.queue, priority = new.priority,
        batch = new.batch, schedule = NULL, scheduled_at = NULL, tags = new.tags, locks = new.locks,
        owner = session_user, start_by = start_limit, run_at = at, due_at = greatest(at, created_at), place = NULL,
        held = held OR new.held, unique_until = created_at + key_for,
        state = new_state, ready = new_state = 'pending' AND NOT (held OR new.held) AND greatest(at, created_at) <= now,
        updated_at = now, worker = NULL, host = NULL, next_retry_at = NULL, cancel_requested = false, attempts = 0,
        lost = 0, lost_in_row = 0, error = NULL, exit_code = NULL, signal = NULL, started_at = NULL, finished_at = NULL,
        cpu_time = NULL, max_rss = NULL, output_bytes = NULL, progress = NULL, result = NULL, last_line = NULL,
        fault = NULL
    WHERE seq = was.seq;
    INSERT INTO {schema}.counts (queue, state, jobs) VALUES (was.queue, was.state, -1), (new.queue, new_state, 1);
    INSERT INTO {schema}.uses (spec, jobs) VALUES (was.spec, -1), (new_spec, 1);
    INSERT INTO {schema}.events (at, job, kind, who) VALUES (now, was.seq, 'Replaced', session_user);
    IF new.batch IS DISTINCT FROM was.batch THEN
        PERFORM pg_advisory_xact_lock_shared({schema}.enqueue_batch_key(was.batch, 'batches')) WHERE was.batch IS NOT NULL;
        PERFORM {schema}.enqueue_check_batch(was.id, was.seq, new.batch);
        IF EXISTS (SELECT 1 FROM {schema}.batches WHERE name = was.batch) OR {schema}.enqueue_is_awaited(was.batch) THEN
            INSERT INTO {schema}.settlements (batch) VALUES (was.batch);
        END IF;
    END IF;
END $$;

-- Adds a job and returns its id. Others see it, and workers hear of it, when this transaction commits. Errors: 22023
-- (bad input), 23505 (the id or unique key is taken), P0002 (no such job to depend on). Where `on_conflict` leaves the job
-- out or changes another one, the id is that one's. With the setting `queuectl.notify` = `off` no notice is given, and workers find
-- the job when they next look.
CREATE OR REPLACE FUNCTION {schema}.enqueue(job jsonb) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {schema}, pg_temp SET extra_float_digits = 1 SET enable_seqscan = off
SET standard_conforming_strings = on AS $$
DECLARE
    keys jsonb := {schema}.enqueue_keys(job);
    start double precision := extract(epoch FROM clock_timestamp());
    new_id text := coalesce(
        {schema}.enqueue_value('id', keys -> 'id')::jsonb #>> '{}', {schema}.enqueue_new_id());
    line text := {schema}.enqueue_command(keys -> 'command');
    due double precision := coalesce({schema}.enqueue_time(keys -> 'run_at', 'run_at', start),
        start + {schema}.enqueue_duration(keys -> 'delay', 'delay'), start);
    start_limit double precision := coalesce(
        {schema}.enqueue_time(keys -> 'start_by', 'start_by', start),
        greatest(due, start) + {schema}.enqueue_duration(keys -> 'expires', 'expires'));
    kept jsonb := '{}'; key text; usual jsonb; spec_number bigint; new_seq bigint;
    edges jsonb := '[]'; first_state text := 'pending';
    rule text := {schema}.enqueue_value('on_conflict', keys -> 'on_conflict')::jsonb #>> '{}';
    holder {schema}.jobs; most integer; fails text;
BEGIN
    IF EXISTS (SELECT 1 FROM jsonb_array_elements_text({schema}.enqueue_rules() -> 'guarded') AS guarded
               WHERE keys -> guarded NOT IN ('[]', 'null')) THEN
        PERFORM {schema}.enqueue_guard();
    END IF;
    FOR key, usual IN SELECT * FROM jsonb_each({schema}.enqueue_rules() -> 'columns') LOOP
        kept := kept || jsonb_build_object(
            key, coalesce(nullif({schema}.enqueue_value(key, keys -> key), '[]')::jsonb, usual));
    END LOOP;
    most := {schema}.enqueue_value('at_most', keys -> 'at_most')::integer;
    fails := {schema}.enqueue_value('max_fails', keys -> 'max_fails')::jsonb #>> '{}';
    IF kept ->> 'batch' IS NOT NULL THEN  -- whoever limits it from now on looks again once this transaction is over
        PERFORM pg_advisory_xact_lock_shared({schema}.enqueue_batch_key(kept ->> 'batch', 'batches joined'));
    END IF;
    IF most IS NOT NULL
        OR EXISTS (SELECT 1 FROM {schema}.batches WHERE name = kept ->> 'batch' AND at_most IS NOT NULL)
    THEN
        kept := kept || jsonb_build_object(
            'locks', {schema}.enqueue_with_lock(kept -> 'locks', 'batch:' || (kept ->> 'batch')));
    END IF;
    IF EXISTS (SELECT 1 FROM {schema}.batches WHERE name = kept ->> 'batch' AND max_fails IS NOT NULL)
        OR {schema}.enqueue_is_awaited(kept ->> 'batch')
    THEN
        INSERT INTO {schema}.settlements (batch, meant) VALUES (kept ->> 'batch',
            CASE WHEN current_setting('transaction_isolation') <> 'read committed' THEN 'limited' END);
    END IF;
    IF jsonb_typeof(kept -> 'locks') = 'array' THEN
        PERFORM {schema}.enqueue_check_units(
            CASE WHEN keys ? 'id' THEN 'job ' || new_id ELSE 'the job' END, kept -> 'locks');
    END IF;
    IF rule = 'ignore' AND EXISTS (SELECT 1 FROM {schema}.jobs WHERE id = new_id) THEN
        PERFORM {schema}.enqueue_set_batch(kept ->> 'batch', most, fails);
        RETURN new_id;
    END IF;
    IF keys ? 'unique_key' THEN
        holder := {schema}.enqueue_take_key(
            kept ->> 'unique_key', new_id, start, coalesce(rule = 'replace', false));
    END IF;
    IF rule = 'error' AND holder.id IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation',
            MESSAGE = format('unique key ''%s'' is taken by job %s (%s)', kept ->> 'unique_key', holder.id,
                CASE WHEN holder.state <> 'processing' THEN holder.state WHEN holder.started_at IS NULL THEN 'starting'
                ELSE 'running' END),
            HINT = {schema}.enqueue_rules() ->> CASE
                WHEN holder.state IN ('completed', 'dead', 'cancelled') THEN 'kept_key_hint' ELSE 'key_hint' END;
    ELSIF holder.id IS NOT NULL AND (
        rule IS DISTINCT FROM 'replace' OR holder.state IN ('completed', 'dead', 'cancelled'))
    THEN
        PERFORM {schema}.enqueue_set_batch(kept ->> 'batch', most, fails);
        RETURN holder.id;
    ELSIF holder.state = 'processing' THEN  -- the job waits for its end
        UPDATE {schema}.unique_keys SET job = new_id, before = holder.id WHERE unique_keys.key = kept ->> 'unique_key';
        kept := kept || jsonb_build_object('depends_on',
            coalesce(nullif(kept -> 'depends_on', 'null'), '[]') || to_jsonb(holder.id || ':any'));
    END IF;
    spec_number := {schema}.enqueue_spec_number({schema}.enqueue_spec(keys));
    IF holder.state <> 'processing' THEN
        PERFORM {schema}.enqueue_replace(holder, kept, line,
            CASE jsonb_typeof(keys -> 'command') WHEN 'array' THEN {schema}.enqueue_ascii((keys -> 'command')::text) END,
            spec_number, start, due, {schema}.enqueue_duration(keys -> 'delay', 'delay'), start_limit,
            {schema}.enqueue_duration(keys -> 'unique_for', 'unique_for'));
        PERFORM {schema}.enqueue_set_batch(kept ->> 'batch', most, fails);
        IF current_setting('queuectl.notify', true) IS DISTINCT FROM 'off' THEN
            PERFORM pg_notify('queuectl_' || current_schema(), '');
        END IF;
        RETURN holder.id;
    END IF;
    IF jsonb_typeof(kept -> 'depends_on') = 'array' THEN
        SELECT jsonb_agg(to_jsonb(edge)), kept || jsonb_build_object('depends_on', jsonb_agg(edge.ref)) INTO edges, kept
        FROM {schema}.enqueue_edges(kept -> 'depends_on') AS edge;
        IF jsonb_path_query_array(edges, '$[*].batch') ? (kept ->> 'batch') THEN
            PERFORM {schema}.enqueue_refuse(format('job %s cannot wait for its own batch %s', new_id, kept ->> 'batch'),
                'leave one of the two out');
        END IF;
        first_state := 'blocked';
    END IF;
    INSERT INTO {schema}.jobs (
        id, generated_id, spec, command, words, owner, created_at, run_at, updated_at, state, unmet, ready, due_at,
        start_by, unique_until, {columns}
    ) SELECT
        new_id, NOT keys ? 'id', spec_number, line,
        CASE jsonb_typeof(keys -> 'command') WHEN 'array' THEN {schema}.enqueue_ascii((keys -> 'command')::text) END,
        session_user, start, due, start, first_state, jsonb_array_length(edges),
        first_state = 'pending' AND NOT held AND due <= start, greatest(due, start),
        start_limit, start + {schema}.enqueue_duration(keys -> 'unique_for', 'unique_for'), {columns}
    FROM jsonb_populate_record(NULL::{schema}.jobs, kept)
    ON CONFLICT (id) DO NOTHING RETURNING seq INTO new_seq;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'job ' || new_id || ' exists already',
            HINT = 'choose another id, or leave it out to get a new one';
    END IF;
    INSERT INTO {schema}.edges (child, ref, parent, batch, wants)
    SELECT new_seq, edge.ref, edge.parent, edge.batch, edge.wants
    FROM jsonb_to_recordset(edges) AS edge (ref text, parent bigint, batch text, wants text)
    ORDER BY edge.parent;
    INSERT INTO {schema}.settlements (job, meant)  -- how what has ended did, should it be removed meanwhile
    SELECT jobs.seq, jobs.state FROM jsonb_to_recordset(edges) AS edge (parent bigint)
    JOIN {schema}.jobs ON jobs.seq = edge.parent WHERE jobs.state IN ('completed', 'dead', 'cancelled') ORDER BY jobs.seq;
    IF kept ->> 'batch' IS NOT NULL AND jsonb_array_length(edges) > 0 THEN
        PERFORM {schema}.enqueue_check_batch(new_id, new_seq, kept ->> 'batch');
    END IF;
    PERFORM {schema}.enqueue_set_batch(kept ->> 'batch', most, fails);
    INSERT INTO {schema}.counts (queue, state, jobs) VALUES (kept ->> 'queue', first_state, 1);
    INSERT INTO {schema}.uses (spec, jobs) VALUES (spec_number, 1);
    IF current_setting('queuectl.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('queuectl_' || current_schema(), '');
    END IF;
    RETURN new_id;
END $$;
