CREATE SCHEMA {schema};
CREATE FUNCTION {schema}.enqueue(job jsonb) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '{schema}', 'pg_temp'
    SET extra_float_digits TO '1'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    keys jsonb := "{schema}".enqueue_keys(job);
    now double precision := extract(epoch FROM clock_timestamp());
    new_id text; line text; lane text; urgency integer; wait boolean; due double precision; spec bigint; labels text;
BEGIN
    IF keys ? 'id' THEN
        new_id := "{schema}".enqueue_name(keys -> 'id', 'id', 'A-Za-z0-9._:-', 'A-Z a-z 0-9 . _ : -');
    ELSE
        new_id := "{schema}".enqueue_new_id();
    END IF;
    line := "{schema}".enqueue_command(keys -> 'command');
    lane := "{schema}".enqueue_name(coalesce(keys -> 'queue', '"default"'), 'queue', 'A-Za-z0-9._:/@+-',
        'A-Z a-z 0-9 . _ : / @ + -');
    urgency := "{schema}".enqueue_integer(coalesce(keys -> 'priority', '0'), 'priority', -1000000, 1000000);
    wait := "{schema}".enqueue_flag(coalesce(keys -> 'held', 'false'), 'held');
    labels := "{schema}".enqueue_tags(coalesce(keys -> 'tags', '[]'));
    due := now;
    IF keys ? 'run_at' THEN
        due := "{schema}".enqueue_time(keys -> 'run_at', 'run_at', now);
    ELSIF keys ? 'delay' THEN
        due := now + "{schema}".enqueue_duration(keys -> 'delay', 'delay');
    END IF;
    spec := "{schema}".enqueue_spec_number("{schema}".enqueue_spec(keys));
    INSERT INTO "{schema}".jobs (
        id, generated_id, spec, command, words, queue, priority, tags, owner, created_at, run_at, updated_at, state,
        held, ready, due_at
    ) VALUES (
        new_id, NOT keys ? 'id', spec, line,
        CASE jsonb_typeof(keys -> 'command') WHEN 'array' THEN "{schema}".enqueue_ascii((keys -> 'command')::text) END,
        lane, urgency, labels, session_user, now, due, now, 'pending', wait, NOT wait AND due <= now, due
    ) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'job ' || new_id || ' exists already',
            HINT = 'choose another id, or leave it out to get a new one';
    END IF;
    INSERT INTO "{schema}".counts (queue, state, jobs) VALUES (lane, 'pending', 1);
    INSERT INTO "{schema}".uses (spec, jobs) VALUES (spec, 1);
    IF current_setting('queuectl.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('queuectl_' || current_schema(), '');
    END IF;
    RETURN new_id;
END $$;
CREATE FUNCTION {schema}.enqueue_ascii(written text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN written !~ '[^\u0001-\u007E]' THEN written ELSE (
        SELECT string_agg(
            CASE WHEN code < 127 THEN sign
                WHEN code < 65536 THEN '\u' || lpad(to_hex(code), 4, '0')
                ELSE '\u' || to_hex(55296 + ((code - 65536) >> 10)) || '\u' || to_hex(56320 + ((code - 65536) & 1023))
            END, '' ORDER BY place)
        FROM regexp_split_to_table(written, '') WITH ORDINALITY AS signs (sign, place), ascii(sign) AS code
    ) END
$$;
CREATE FUNCTION {schema}.enqueue_check_size(bytes bigint, most bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF bytes > most THEN
        PERFORM "{schema}".enqueue_refuse(
            format('command is %s bytes long; the limit is %s',
                to_char(bytes, 'FM999,999,999,999'), to_char(most, 'FM999,999,999,999')),
            'put it into a script file, or feed the data with --stdin FILE');
    END IF;
END $$;
CREATE FUNCTION {schema}.enqueue_clock(hour text, minute text, second text, fraction text) RETURNS interval
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT make_interval(hours => hour::integer, mins => minute::integer, secs => second::integer)
        + rpad(left(fraction, 6), 6, '0')::integer * interval '1 microsecond'
    WHERE hour::integer < 24 AND minute::integer < 60 AND second::integer < 60
$$;
CREATE FUNCTION {schema}.enqueue_command(value jsonb) RETURNS text
    LANGUAGE plpgsql
    AS $_$
DECLARE
    line text; word jsonb; quoted text[] := '{}'; bytes bigint := -1;
BEGIN
    IF jsonb_typeof(value) <> 'array' THEN
        line := "{schema}".enqueue_text(value, 'command', may_be_empty => true);
        IF "{schema}".enqueue_stripped(line) = '' THEN
            PERFORM "{schema}".enqueue_refuse('command is empty', 'give one, e.g. {"command": "echo hello"}');
        END IF;
        PERFORM "{schema}".enqueue_check_size(octet_length(convert_to(line, 'UTF8')), 131071);
        RETURN line;
    ELSIF value = '[]' THEN
        PERFORM "{schema}".enqueue_refuse('command is an empty list', 'its first word is the program to run');
    END IF;
    FOR word IN SELECT jsonb_array_elements(value) LOOP
        line := "{schema}".enqueue_text(word, 'a word of command', may_be_empty => true);
        PERFORM "{schema}".enqueue_check_size(octet_length(convert_to(line, 'UTF8')), 131071);
        bytes := bytes + 1 + octet_length(convert_to(line, 'UTF8'));
        quoted := quoted || CASE WHEN line ~ '^[A-Za-z0-9_@%+=:,./-]+$' THEN line
            ELSE '''' || replace(line, '''', '''"''"''') || '''' END;
    END LOOP;
    IF value ->> 0 = '' THEN
        PERFORM "{schema}".enqueue_refuse('command''s first word is empty', 'it is the program to run');
    END IF;
    PERFORM "{schema}".enqueue_check_size(bytes, 1048576);
    RETURN array_to_string(quoted, ' ');
END $_$;
CREATE FUNCTION {schema}.enqueue_duration(value jsonb, key text) RETURNS double precision
    LANGUAGE plpgsql STRICT
    AS $_$
DECLARE
    said text := "{schema}".enqueue_stripped(value #>> '{}');
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
        PERFORM "{schema}".enqueue_refuse(key || ' ' || "{schema}".enqueue_quoted(value) || ' is too long', 'at most 36500d');
    END IF;
    IF seconds IS NULL THEN
        PERFORM "{schema}".enqueue_refuse(key || ' ' || "{schema}".enqueue_quoted(value) || ' is not a duration',
            'write it as 90, 90s, 10m, 1h30m or 2d');
    END IF;
    RETURN seconds;
END $_$;
CREATE FUNCTION {schema}.enqueue_env(value jsonb, key text) RETURNS text
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    name text; content jsonb; result text;
BEGIN
    IF jsonb_typeof(value) <> 'object' THEN
        PERFORM "{schema}".enqueue_refuse(
            key || ' must be an object of names and values, not ' || "{schema}".enqueue_shown(value), '');
    END IF;
    FOR name, content IN SELECT * FROM jsonb_each(value) LOOP
        IF name = '' OR position('=' IN name) > 0 THEN
            PERFORM "{schema}".enqueue_refuse(
                format('%s has a variable named ''%s'', which no environment can hold', key, name), '');
        END IF;
        PERFORM "{schema}".enqueue_text(content, key || ' variable ' || name, may_be_empty => true);
    END LOOP;
    SELECT string_agg(to_jsonb(each.key)::text || ':' || each.value::text, ',' ORDER BY each.key COLLATE "C")
    INTO result FROM jsonb_each(value) AS each;
    RETURN '{' || coalesce(result, '') || '}';
END $$;
CREATE FUNCTION {schema}.enqueue_exit_codes(value jsonb, key text) RETURNS text
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    said text := value #>> '{}'; code jsonb; codes integer[] := '{}';
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        SELECT jsonb_agg("{schema}".enqueue_stripped(part)) INTO value FROM regexp_split_to_table(said, ',') AS part;
    ELSIF jsonb_typeof(value) = 'boolean' OR (jsonb_typeof(value) = 'number' AND said !~ '[.]') THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM "{schema}".enqueue_refuse(
            key || ' must be a list of exit codes, not ' || "{schema}".enqueue_shown(value), '');
    END IF;
    FOR code IN SELECT jsonb_array_elements(value) LOOP
        codes := codes || "{schema}".enqueue_integer(code, 'an exit code of ' || key, 1, 255);
    END LOOP;
    RETURN '[' || array_to_string(codes, ',') || ']';
END $$;
CREATE FUNCTION {schema}.enqueue_flag(value jsonb, key text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF jsonb_typeof(value) NOT IN ('boolean', 'string') OR lower(value #>> '{}') NOT IN ('true', 'false') THEN
        PERFORM "{schema}".enqueue_refuse(key || ' must be true or false, not ' || "{schema}".enqueue_shown(value), '');
    END IF;
    RETURN value #>> '{}';
END $$;
CREATE FUNCTION {schema}.enqueue_float(value double precision) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN value::text ~ '[.e]' THEN value::text ELSE coalesce(value::text || '.0', 'null') END
$$;
CREATE FUNCTION {schema}.enqueue_integer(value jsonb, key text, low integer, high integer) RETURNS integer
    LANGUAGE plpgsql
    AS $_$
DECLARE
    said text := value #>> '{}'; number bigint;
BEGIN
    IF jsonb_typeof(value) IN ('number', 'string') AND said ~ '^[+-]?[0-9]{1,18}$' THEN
        number := said;
    END IF;
    IF number IS NULL OR number NOT BETWEEN low AND high THEN
        PERFORM "{schema}".enqueue_refuse(
            format('%s must be a whole number from %s to %s, not %s', key, low, high,
                "{schema}".enqueue_shown(coalesce(to_jsonb(number), value))), '');
    END IF;
    RETURN number;
END $_$;
CREATE FUNCTION {schema}.enqueue_keys(job jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
DECLARE
    input constant text[] := '{id,command,queue,priority,run_at,delay,tags,held,max_retries,backoff_base,'
        'backoff_initial,backoff_max,backoff_jitter,retry_on,fatal_on,timeout,kill_grace,cwd,umask,env,shell,stdin,'
        'output_path,split_output,base_backoff_seconds}';
    later constant text[] := '{secrets,batch,unique_key,depends_on,locks,on_success,on_failure,on_dead}';
    written constant text[] := '{schedule,owner,worker,host,lease,lost,started_at,finished_at,duration,next_retry_at,'
        'exit_code,signal,error,progress,result,output_bytes,cpu_time,max_rss,reason}';
    given text; key text; value jsonb; keys jsonb := '{}';
BEGIN
    IF job IS NULL OR jsonb_typeof(job) <> 'object' THEN
        PERFORM "{schema}".enqueue_refuse(
            'a job must be a JSON object, not ' || coalesce("{schema}".enqueue_shown(job), 'null'),
            'e.g. {"command": "echo hello"}');
    END IF;
    FOR given, value IN SELECT * FROM jsonb_each(job) LOOP
        key := replace(given, '-', '_');
        IF key = ANY (input) THEN
            key := CASE key WHEN 'base_backoff_seconds' THEN 'backoff_initial' ELSE key END;
            IF value <> 'null' AND keys ? key THEN
                PERFORM "{schema}".enqueue_refuse(key || ' comes twice', 'give it once');
            ELSIF value <> 'null' THEN
                keys := keys || jsonb_build_object(key, value);
            END IF;
        ELSIF key IN ('created_at', 'updated_at') OR (value = 'null' AND key = ANY (later || written)) THEN
            CONTINUE;
        ELSIF key = 'state' AND value <> '"pending"' THEN
            PERFORM "{schema}".enqueue_refuse('state cannot be set to ' || "{schema}".enqueue_shown(value),
                'a new job is always pending; leave the key out');
        ELSIF key = 'attempts' AND value <> '0' THEN
            PERFORM "{schema}".enqueue_refuse('attempts cannot be set to ' || "{schema}".enqueue_shown(value),
                'a new job has had none; leave the key out');
        ELSIF key = ANY (later) THEN
            PERFORM "{schema}".enqueue_refuse(
                key || ' is not supported by this version of queuectl', 'leave the key out');
        ELSIF key = ANY (written) THEN
            PERFORM "{schema}".enqueue_refuse(key || ' is written by queuectl and cannot be set', 'leave the key out');
        ELSIF key NOT IN ('state', 'attempts') THEN
            PERFORM "{schema}".enqueue_refuse(
                'unknown key ''' || given || '''', "{schema}".enqueue_nearest(key, input));
        END IF;
    END LOOP;
    IF NOT keys ? 'command' THEN
        PERFORM "{schema}".enqueue_refuse('a job needs a command', 'e.g. {"command": "echo hello"}');
    ELSIF keys ? 'run_at' AND keys ? 'delay' THEN
        PERFORM "{schema}".enqueue_refuse('run_at and delay exclude each other', 'give one of them');
    END IF;
    RETURN keys;
END $$;
CREATE FUNCTION {schema}.enqueue_name(value jsonb, key text, signs text, in_words text) RETURNS text
    LANGUAGE plpgsql
    AS $_$
BEGIN
    IF jsonb_typeof(value) <> 'string' OR (value #>> '{}') !~ ('^[' || signs || ']{1,128}$') THEN
        PERFORM "{schema}".enqueue_refuse(
            key || ' ' || "{schema}".enqueue_shown(value) || ' is not valid', '1 to 128 of ' || in_words);
    END IF;
    RETURN value #>> '{}';
END $_$;
CREATE FUNCTION {schema}.enqueue_nearest(word text, known text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    best text; best_likeness double precision := 0.6; likeness double precision; name text;
    above integer[]; here integer[];
BEGIN
    word := left(word, 60);
    FOREACH name IN ARRAY known LOOP
        above := array_fill(0, ARRAY[length(name) + 1]);
        FOR i IN 1..length(word) LOOP
            here := ARRAY[0];
            FOR j IN 1..length(name) LOOP
                here := here || CASE WHEN substr(word, i, 1) = substr(name, j, 1) THEN above[j] + 1
                    ELSE greatest(above[j + 1], here[j]) END;
            END LOOP;
            above := here;
        END LOOP;
        likeness := 2.0 * above[length(name) + 1] / (length(word) + length(name));
        IF likeness > best_likeness THEN
            best := name;
            best_likeness := likeness;
        END IF;
    END LOOP;
    RETURN CASE WHEN best IS NULL THEN 'known: ' || array_to_string(known, ', ')
        ELSE 'did you mean ''' || best || '''?' END;
END $$;
CREATE FUNCTION {schema}.enqueue_new_id() RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + (get_byte(bits, at) & 31), 1), '')
    FROM uuid_send(gen_random_uuid()) AS bits, unnest('{0,1,2,3,4,5,9,10,11,12}'::integer[]) AS at
$$;
CREATE FUNCTION {schema}.enqueue_number(value jsonb, key text, low integer, high integer) RETURNS double precision
    LANGUAGE plpgsql
    AS $_$
DECLARE
    said text := value #>> '{}'; number numeric;
BEGIN
    IF jsonb_typeof(value) = 'number'
            OR (jsonb_typeof(value) = 'string' AND said ~ '^[+-]?[0-9]{1,18}(\.[0-9]{1,255})?$') THEN
        number := said;
    END IF;
    IF number IS NULL OR number NOT BETWEEN low AND high THEN
        PERFORM "{schema}".enqueue_refuse(
            format('%s must be a number from %s to %s, not %s', key, low, high,
                "{schema}".enqueue_shown(coalesce(to_jsonb(number), value))), '');
    END IF;
    RETURN number;
END $_$;
CREATE FUNCTION {schema}.enqueue_path(value jsonb, key text) RETURNS text
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    path text := "{schema}".enqueue_text(value, key); part text; kept text[] := '{}';
BEGIN
    IF path NOT LIKE '/%' THEN
        PERFORM "{schema}".enqueue_refuse(key || ' must begin with a slash, not ' || "{schema}".enqueue_shown(value),
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
CREATE FUNCTION {schema}.enqueue_quoted(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE jsonb_typeof(value) WHEN 'string' THEN '''' || (value #>> '{}') || ''''
        WHEN 'boolean' THEN initcap(value::text) ELSE value::text END
$$;
CREATE FUNCTION {schema}.enqueue_refuse(message text, hint text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, HINT = hint;
END $$;
CREATE FUNCTION {schema}.enqueue_shown(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN length(value::text) <= 60 THEN value::text ELSE left(value::text, 57) || '...' END
$$;
CREATE FUNCTION {schema}.enqueue_spec(keys jsonb) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    stored jsonb; given jsonb; timeout double precision;
    base double precision; initial double precision; jitter double precision;
    cwd text; output_path text; stdin text;
BEGIN
    SELECT coalesce(jsonb_object_agg(replace(name, '-', '_'), value), '{}') INTO stored FROM "{schema}".config
    WHERE name IN ('max-retries', 'backoff-base', 'backoff-initial', 'backoff-max', 'backoff-jitter', 'timeout',
        'kill-grace')
    AND (name, value) NOT IN (('timeout', 'none'), ('timeout', 'off'), ('backoff-initial', 'backoff-base'));
    given := '{"max_retries": 3, "backoff_base": 2, "backoff_max": 3600, "backoff_jitter": 0, "kill_grace": 10}'
        || stored || keys;
    base := "{schema}".enqueue_number(given -> 'backoff_base', 'backoff_base', 1, 1000);
    initial := coalesce("{schema}".enqueue_duration(given -> 'backoff_initial', 'backoff_initial'), base);
    jitter := "{schema}".enqueue_number(given -> 'backoff_jitter', 'backoff_jitter', 0, 1);
    timeout := "{schema}".enqueue_duration(given -> 'timeout', 'timeout');
    IF timeout = 0 THEN
        PERFORM "{schema}".enqueue_refuse(
            'timeout must be longer than 0, not ' || "{schema}".enqueue_shown(given -> 'timeout'), '');
    END IF;
    cwd := "{schema}".enqueue_path(keys -> 'cwd', 'cwd');
    output_path := "{schema}".enqueue_path(keys -> 'output_path', 'output_path');
    stdin := "{schema}".enqueue_path(keys -> 'stdin', 'stdin');
    RETURN "{schema}".enqueue_ascii(concat(
        '{"backoff_base":', "{schema}".enqueue_float(base),
        ',"backoff_initial":', "{schema}".enqueue_float(initial),
        ',"backoff_jitter":', "{schema}".enqueue_float(jitter),
        ',"backoff_max":', "{schema}".enqueue_float("{schema}".enqueue_duration(given -> 'backoff_max', 'backoff_max')),
        ',"cwd":', coalesce(to_json(cwd)::text, 'null'),
        ',"env":', coalesce("{schema}".enqueue_env(keys -> 'env', 'env'), '{}'),
        ',"fatal_on":', coalesce("{schema}".enqueue_exit_codes(keys -> 'fatal_on', 'fatal_on'), '[]'),
        ',"kill_grace":', "{schema}".enqueue_float("{schema}".enqueue_duration(given -> 'kill_grace', 'kill_grace')),
        ',"max_retries":', "{schema}".enqueue_integer(given -> 'max_retries', 'max_retries', 0, 1000000),
        ',"output_path":', coalesce(to_json(output_path)::text, 'null'),
        ',"retry_on":', coalesce("{schema}".enqueue_exit_codes(keys -> 'retry_on', 'retry_on'), '[]'),
        ',"shell":', to_json("{schema}".enqueue_text(coalesce(keys -> 'shell', '"/bin/sh"'), 'shell')),
        ',"split_output":',
        to_json("{schema}".enqueue_flag(coalesce(keys -> 'split_output', 'false'), 'split_output')),
        ',"stdin":', coalesce(to_json(stdin)::text, 'null'),
        ',"timeout":', "{schema}".enqueue_float(timeout),
        ',"umask":', coalesce("{schema}".enqueue_umask(keys -> 'umask', 'umask')::text, 'null'), '}'));
END $$;
CREATE FUNCTION {schema}.enqueue_spec_number(body text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    print bytea := sha256(convert_to(body, 'UTF8')); number bigint;
BEGIN
    SELECT id INTO number FROM "{schema}".specs WHERE digest = print FOR KEY SHARE;
    IF number IS NULL AND pg_try_advisory_xact_lock(1903519093, get_byte(print, 0)) THEN
        INSERT INTO "{schema}".specs (digest, body) VALUES (print, body) ON CONFLICT (digest) DO NOTHING
        RETURNING id INTO number;
    END IF;
    IF number IS NULL THEN
        INSERT INTO "{schema}".specs (digest, body) VALUES (sha256(print || uuid_send(gen_random_uuid())), body)
        RETURNING id INTO number;
    END IF;
    RETURN number;
END $$;
CREATE FUNCTION {schema}.enqueue_stripped(said text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT btrim(said, E' \t\n\u000B\f\r\u001C\u001D\u001E\u001F\u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004'
        '\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000')
$$;
CREATE FUNCTION {schema}.enqueue_tags(value jsonb) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    tag jsonb; kept text[] := '{}'; name text;
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := jsonb_build_array(value);
    ELSIF jsonb_typeof(value) <> 'array' THEN
        PERFORM "{schema}".enqueue_refuse('tags must be a list of words, not ' || "{schema}".enqueue_shown(value), '');
    END IF;
    FOR tag IN SELECT jsonb_array_elements(value) LOOP
        name := "{schema}".enqueue_name(tag, 'tag', 'A-Za-z0-9._:/@+-', 'A-Z a-z 0-9 . _ : / @ + -');
        kept := kept || CASE WHEN name = ANY (kept) THEN '{}' ELSE ARRAY[name] END;
    END LOOP;
    RETURN CASE WHEN kept <> '{}' THEN to_jsonb(kept)::text END;
END $$;
CREATE FUNCTION {schema}.enqueue_text(value jsonb, key text, may_be_empty boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF jsonb_typeof(value) <> 'string' THEN
        PERFORM "{schema}".enqueue_refuse(key || ' must be text, not ' || "{schema}".enqueue_shown(value), '');
    ELSIF value = '""' AND NOT may_be_empty THEN
        PERFORM "{schema}".enqueue_refuse(key || ' is empty', '');
    END IF;
    RETURN value #>> '{}';
END $$;
CREATE FUNCTION {schema}.enqueue_time(value jsonb, key text, now double precision) RETURNS double precision
    LANGUAGE plpgsql STRICT
    AS $_$
DECLARE
    said text := "{schema}".enqueue_stripped(value #>> '{}');
    zone text := current_setting('TimeZone');
    here timestamp := to_timestamp(now) AT TIME ZONE zone;
    full_form constant text := '^([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})'
        '(?:.([0-9]{2})(?:(:?)([0-9]{2})(?:\6([0-9]{2})(?:[.,]([0-9]+))?)?)?'
        '(Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?$';
    parts text[]; moment timestamp;
BEGIN
    IF jsonb_typeof(value) = 'string' AND said LIKE '+%' THEN
        RETURN now + "{schema}".enqueue_duration(to_jsonb(substr(said, 2)), key);
    ELSIF jsonb_typeof(value) = 'string' AND said ~ '^[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?$' THEN
        parts := string_to_array(said || ':00', ':');
        moment := here::date + "{schema}".enqueue_clock(parts[1], parts[2], parts[3], '0');
        moment := CASE WHEN moment > here THEN moment ELSE moment + interval '1 day' END;
    ELSIF jsonb_typeof(value) = 'string' AND said ~ full_form THEN
        parts := regexp_match(said, full_form);
        BEGIN
            moment := make_date(parts[1]::integer, parts[3]::integer, parts[4]::integer) + "{schema}".enqueue_clock(
                coalesce(parts[5], '0'), coalesce(parts[7], '0'), coalesce(parts[8], '0'), coalesce(parts[9], '0'));
        EXCEPTION WHEN datetime_field_overflow THEN
            NULL;  -- there is no such day
        END;
        IF parts[10] IS NOT NULL THEN
            zone := 'UTC';
            moment := moment - (coalesce(parts[11], '+') || '1')::integer
                * "{schema}".enqueue_clock(coalesce(parts[12], '0'), coalesce(parts[13], '0'), '0', '0');
        END IF;
    END IF;
    moment := moment AT TIME ZONE zone AT TIME ZONE 'UTC';
    IF moment IS NULL OR extract(year FROM moment) NOT BETWEEN 1 AND 9999 THEN
        PERFORM "{schema}".enqueue_refuse(key || ' ' || "{schema}".enqueue_quoted(value) || ' is not a time',
            'write it as 2026-11-21T18:00:00Z, ''2026-11-21 18:00'' (local time), 18:00 or +10m');
    END IF;
    RETURN extract(epoch FROM moment);
END $_$;
CREATE FUNCTION {schema}.enqueue_umask(value jsonb, key text) RETURNS integer
    LANGUAGE plpgsql STRICT
    AS $_$
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
    PERFORM "{schema}".enqueue_refuse(
        key || ' must be octal text from 000 to 777, not ' || "{schema}".enqueue_shown(value), 'write it as "022"');
END $_$;
CREATE TABLE {schema}.attempts (
    job bigint NOT NULL,
    number integer NOT NULL,
    lease bigint NOT NULL,
    worker text NOT NULL,
    host text NOT NULL,
    started_at double precision NOT NULL,
    finished_at double precision,
    outcome text,
    exit_code integer,
    signal integer,
    error text,
    cpu_time double precision,
    max_rss bigint,
    output_bytes bigint,
    output_files text,
    leftover text
)
WITH (fillfactor='90');
CREATE TABLE {schema}.config (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE {schema}.counts (
    queue text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    jobs bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_cost_delay='0');
CREATE TABLE {schema}.events (
    id bigint NOT NULL,
    at double precision NOT NULL,
    job bigint,
    kind text NOT NULL,
    who text,
    detail text
);
ALTER TABLE {schema}.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME {schema}.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE {schema}.followers (
    job bigint NOT NULL,
    until timestamp with time zone NOT NULL
);
CREATE TABLE {schema}.jobs (
    seq bigint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    generated_id boolean NOT NULL,
    spec bigint NOT NULL,
    command text NOT NULL,
    words text,
    queue text NOT NULL COLLATE pg_catalog."C",
    priority integer NOT NULL,
    tags text,
    owner text,
    created_at double precision NOT NULL,
    run_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    held boolean DEFAULT false NOT NULL,
    ready boolean NOT NULL,
    due_at double precision NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    starts integer DEFAULT 0 NOT NULL,
    lost integer DEFAULT 0 NOT NULL,
    lost_in_row integer DEFAULT 0 NOT NULL,
    lease bigint DEFAULT 0 NOT NULL,
    worker text COLLATE pg_catalog."C",
    host text,
    started_at double precision,
    finished_at double precision,
    next_retry_at double precision,
    exit_code integer,
    signal integer,
    error text,
    cpu_time double precision,
    max_rss bigint,
    output_bytes bigint
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='2000', autovacuum_analyze_scale_factor='0.05', autovacuum_vacuum_cost_delay='0');
ALTER TABLE {schema}.jobs ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME {schema}.jobs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE {schema}.meta (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE {schema}.outputs (
    job bigint NOT NULL,
    number integer NOT NULL,
    stream integer NOT NULL,
    head bytea NOT NULL,
    tail bytea,
    cut_bytes bigint NOT NULL,
    compressed boolean NOT NULL
);
ALTER TABLE ONLY {schema}.outputs ALTER COLUMN head SET STORAGE EXTERNAL;
ALTER TABLE ONLY {schema}.outputs ALTER COLUMN tail SET STORAGE EXTERNAL;
CREATE TABLE {schema}.pieces (
    job bigint NOT NULL,
    number integer NOT NULL,
    stream integer NOT NULL,
    start bigint NOT NULL,
    stop bigint NOT NULL,
    data bytea NOT NULL
);
CREATE TABLE {schema}.specs (
    id bigint NOT NULL,
    digest bytea NOT NULL,
    body text NOT NULL
);
ALTER TABLE {schema}.specs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME {schema}.specs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE {schema}.tokens (
    id text NOT NULL,
    digest text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL,
    created_at double precision NOT NULL,
    created_by text,
    used_at double precision
);
CREATE TABLE {schema}.uses (
    spec bigint NOT NULL,
    jobs bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_cost_delay='0');
CREATE TABLE {schema}.workers (
    id text NOT NULL,
    name text NOT NULL,
    epoch bigint NOT NULL,
    host text NOT NULL,
    machine text NOT NULL,
    pid bigint NOT NULL,
    dispatcher bigint NOT NULL,
    slots integer NOT NULL,
    queues text NOT NULL,
    tag bigint NOT NULL,
    version text NOT NULL,
    started_at double precision NOT NULL,
    stop text,
    expires_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');
INSERT INTO {schema}.attempts VALUES (1, 1, 1, 'vm-n60g~0x5bdc', 'vm', 1795895605.9565876, 1795895605.9628317, 'completed', 0, NULL, NULL, 0.0008529999999999999, NULL, 11, NULL, NULL);
INSERT INTO {schema}.attempts VALUES (2, 1, 1, 'vm-n60g~0x5bdc', 'vm', 1795895605.9740233, 1795895605.9767163, 'failed', 7, NULL, 'exit code 7', 0.0007819999999999999, NULL, 0, NULL, NULL);
INSERT INTO {schema}.attempts VALUES (3, 1, 1, 'vm-n60g~0x5bdc', 'vm', 1795895605.976777, 1795895605.9785109, 'failed', 3, NULL, 'exit code 3', 0.0008129999999999999, NULL, 0, NULL, NULL);
INSERT INTO {schema}.config VALUES ('max-retries', '1');
INSERT INTO {schema}.counts VALUES ('default', 'pending', 1);
INSERT INTO {schema}.counts VALUES ('default', 'pending', 1);
INSERT INTO {schema}.counts VALUES ('default', 'pending', 1);
INSERT INTO {schema}.counts VALUES ('default', 'pending', 1);
INSERT INTO {schema}.counts VALUES ('default', 'pending', -1);
INSERT INTO {schema}.counts VALUES ('default', 'cancelled', 1);
INSERT INTO {schema}.counts VALUES ('night', 'pending', 1);
INSERT INTO {schema}.counts VALUES ('default', 'pending', -1);
INSERT INTO {schema}.counts VALUES ('default', 'processing', 1);
INSERT INTO {schema}.counts VALUES ('default', 'processing', 1);
INSERT INTO {schema}.counts VALUES ('default', 'completed', 1);
INSERT INTO {schema}.counts VALUES ('default', 'pending', -2);
INSERT INTO {schema}.counts VALUES ('default', 'processing', -2);
INSERT INTO {schema}.counts VALUES ('default', 'dead', 1);
INSERT INTO {schema}.counts VALUES ('default', 'failed', 1);
INSERT INTO {schema}.events OVERRIDING SYSTEM VALUE VALUES (1, 1795895605.044543, NULL, 'SettingSet', 'root', 'max-retries=1');
INSERT INTO {schema}.events OVERRIDING SYSTEM VALUE VALUES (2, 1795895605.6448278, 4, 'CancelRequested', 'root', NULL);
INSERT INTO {schema}.jobs OVERRIDING SYSTEM VALUE VALUES (4, 'gone', false, 1, 'true', '["true"]', 'default', 0, NULL, 'root', 1795895605.5277727, 1795895605.5277727, 1795895605.6448278, 'cancelled', true, false, 1795895605.5277727, false, 0, 0, 0, 0, 0, NULL, NULL, NULL, 1795895605.6448278, NULL, NULL, NULL, 'cancelled', NULL, NULL, NULL);
INSERT INTO {schema}.jobs OVERRIDING SYSTEM VALUE VALUES (5, 'later', false, 1, 'echo ''two words''', '["echo", "two words"]', 'night', 0, NULL, 'root', 1795895605.769285, 3523895605.769285, 1795895605.769285, 'pending', false, false, 3523895605.769285, false, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO {schema}.jobs OVERRIDING SYSTEM VALUE VALUES (1, 'done', false, 1, 'echo hello; echo oops >&2', NULL, 'default', 0, '["kept"]', 'root', 1795895605.1634774, 1795895605.1634774, 1795895605.9638374, 'completed', false, false, 1795895605.1634774, false, 1, 1, 0, 0, 1, 'vm-n60g~0x5bdc', 'vm', 1795895605.9565876, 1795895605.9628317, NULL, 0, NULL, NULL, 0.0008529999999999999, NULL, 11);
INSERT INTO {schema}.jobs OVERRIDING SYSTEM VALUE VALUES (2, 'sorry', false, 2, 'exit 7', NULL, 'default', 0, NULL, 'root', 1795895605.2859306, 1795895605.2859306, 1795895605.9844851, 'dead', false, false, 1795895605.2859306, false, 1, 1, 0, 0, 1, 'vm-n60g~0x5bdc', 'vm', 1795895605.9740233, 1795895605.9767163, NULL, 7, NULL, 'exit code 7', 0.0007819999999999999, NULL, 0);
INSERT INTO {schema}.jobs OVERRIDING SYSTEM VALUE VALUES (3, 'again', false, 3, 'exit 3', NULL, 'default', 0, NULL, 'root', 1795895605.4064507, 1795895605.4064507, 1795895605.9844851, 'failed', false, false, 3523895605.978511, false, 1, 1, 0, 0, 1, 'vm-n60g~0x5bdc', 'vm', 1795895605.976777, 1795895605.9785109, 3523895605.978511, 3, NULL, 'exit code 3', 0.0008129999999999999, NULL, 0);
INSERT INTO {schema}.meta VALUES ('oldest reader of schema 1', '1');
INSERT INTO {schema}.meta VALUES ('store_id', 'rmnjbs5vc1tcy0e2');
INSERT INTO {schema}.meta VALUES ('oldest reader of schema 2', '1');
INSERT INTO {schema}.meta VALUES ('oldest reader of schema 3', '1');
INSERT INTO {schema}.meta VALUES ('schema', '4');
INSERT INTO {schema}.meta VALUES ('oldest reader of schema 4', '1');
INSERT INTO {schema}.outputs VALUES (1, 1, 1, '\x68656c6c6f0a6f6f70730a', NULL, 0, false);
INSERT INTO {schema}.specs OVERRIDING SYSTEM VALUE VALUES (1, '\x2ed30121c3d9f7629bc6af974447c8b2576400fc870dcda60da66662e3226484', '{"backoff_base":2.0,"backoff_initial":2.0,"backoff_jitter":0.0,"backoff_max":3600.0,"cwd":"/home/ana/project","env":{},"fatal_on":[],"kill_grace":10.0,"max_retries":1,"output_path":null,"retry_on":[],"shell":"/bin/sh","split_output":false,"stdin":null,"timeout":null,"umask":18}');
INSERT INTO {schema}.specs OVERRIDING SYSTEM VALUE VALUES (2, '\x98835cc30986ad8dbaf5db885bdaa2cad0e6c3b45583b07b557d0d16cb282dcb', '{"backoff_base":2.0,"backoff_initial":2.0,"backoff_jitter":0.0,"backoff_max":3600.0,"cwd":"/home/ana/project","env":{},"fatal_on":[],"kill_grace":10.0,"max_retries":0,"output_path":null,"retry_on":[],"shell":"/bin/sh","split_output":false,"stdin":null,"timeout":null,"umask":18}');
INSERT INTO {schema}.specs OVERRIDING SYSTEM VALUE VALUES (3, '\xe846e76b090d81bd128eecf69841b91ae016a5a967a4b9ee41d037721cb25596', '{"backoff_base":2.0,"backoff_initial":1728000000.0,"backoff_jitter":0.0,"backoff_max":1728000000.0,"cwd":"/home/ana/project","env":{},"fatal_on":[],"kill_grace":10.0,"max_retries":1,"output_path":null,"retry_on":[],"shell":"/bin/sh","split_output":false,"stdin":null,"timeout":null,"umask":18}');
INSERT INTO {schema}.uses VALUES (1, 1);
INSERT INTO {schema}.uses VALUES (2, 1);
INSERT INTO {schema}.uses VALUES (3, 1);
INSERT INTO {schema}.uses VALUES (1, 1);
INSERT INTO {schema}.uses VALUES (1, 1);
SELECT pg_catalog.setval('{schema}.events_id_seq', 2, true);
SELECT pg_catalog.setval('{schema}.jobs_seq_seq', 5, true);
SELECT pg_catalog.setval('{schema}.specs_id_seq', 3, true);
ALTER TABLE ONLY {schema}.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (job, number);
ALTER TABLE ONLY {schema}.config
    ADD CONSTRAINT config_pkey PRIMARY KEY (name);
ALTER TABLE ONLY {schema}.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY {schema}.followers
    ADD CONSTRAINT followers_pkey PRIMARY KEY (job);
ALTER TABLE ONLY {schema}.jobs
    ADD CONSTRAINT jobs_id_key UNIQUE (id);
ALTER TABLE ONLY {schema}.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY {schema}.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);
ALTER TABLE ONLY {schema}.outputs
    ADD CONSTRAINT outputs_pkey PRIMARY KEY (job, number, stream);
ALTER TABLE ONLY {schema}.pieces
    ADD CONSTRAINT pieces_pkey PRIMARY KEY (job, number, stream, start);
ALTER TABLE ONLY {schema}.specs
    ADD CONSTRAINT specs_digest_key UNIQUE (digest);
ALTER TABLE ONLY {schema}.specs
    ADD CONSTRAINT specs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY {schema}.tokens
    ADD CONSTRAINT tokens_digest_key UNIQUE (digest);
ALTER TABLE ONLY {schema}.tokens
    ADD CONSTRAINT tokens_name_key UNIQUE (name);
ALTER TABLE ONLY {schema}.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY {schema}.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);
CREATE INDEX attempts_finished ON {schema}.attempts USING btree (finished_at, outcome) WHERE (finished_at IS NOT NULL);
CREATE INDEX events_job ON {schema}.events USING btree (job) WHERE (job IS NOT NULL);
CREATE INDEX jobs_completed ON {schema}.jobs USING btree (seq) WHERE (state = 'completed'::text);
CREATE INDEX jobs_due ON {schema}.jobs USING btree (due_at) WHERE ((NOT ready) AND (NOT held) AND (state = ANY (ARRAY['pending'::text, 'failed'::text])));
CREATE INDEX jobs_processing ON {schema}.jobs USING btree (worker) WHERE (state = 'processing'::text);
CREATE INDEX jobs_ready ON {schema}.jobs USING btree (queue, priority DESC, due_at, seq) WHERE ready;
CREATE INDEX jobs_state ON {schema}.jobs USING btree (state, seq) WHERE (state <> ALL (ARRAY['processing'::text, 'completed'::text]));
CREATE INDEX uses_spec ON {schema}.uses USING btree (spec);
