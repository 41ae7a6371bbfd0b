-- The SQL function `enqueue`: a time in the past puts a job before nobody in line; exit codes that retry and never do,
-- and names of variables with blanks, are refused; the setting `shell` counts.
-- oldest reader: 1

-- Variables as specs are written.
CREATE OR REPLACE FUNCTION {schema}.enqueue_env(value jsonb, key text) RETURNS text LANGUAGE plpgsql STRICT AS $$
DECLARE
    name text; content jsonb; result text;
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
    END LOOP;
    SELECT string_agg(to_jsonb(each.key)::text || ':' || each.value::text, ',' ORDER BY each.key COLLATE "C")
    INTO result FROM jsonb_each(value) AS each;
    RETURN '{' || coalesce(result, '') || '}';
END $$;

-- A job's policy and surroundings as text: what was given, laid over the settings of this moment.
CREATE OR REPLACE FUNCTION {schema}.enqueue_spec(keys jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stored jsonb; given jsonb; timeout double precision;
    base double precision; initial double precision; jitter double precision;
    cwd text; output_path text; stdin text; retry_on text; fatal_on text; both_codes integer;
BEGIN
    SELECT coalesce(jsonb_object_agg(replace(name, '-', '_'), value), '{}') INTO stored FROM {schema}.config
    WHERE name IN ('max-retries', 'backoff-base', 'backoff-initial', 'backoff-max', 'backoff-jitter', 'timeout',
        'kill-grace', 'shell')
    AND (name, value) NOT IN (('timeout', 'none'), ('timeout', 'off'), ('backoff-initial', 'backoff-base'));
    given := '{"max_retries": 3, "backoff_base": 2, "backoff_max": 3600, "backoff_jitter": 0, "kill_grace": 10,'
        '"shell": "/bin/sh"}'
        || stored || keys;
    base := {schema}.enqueue_number(given -> 'backoff_base', 'backoff_base', 1, 1000);
    initial := coalesce({schema}.enqueue_duration(given -> 'backoff_initial', 'backoff_initial'), base);
    jitter := {schema}.enqueue_number(given -> 'backoff_jitter', 'backoff_jitter', 0, 1);
    timeout := {schema}.enqueue_duration(given -> 'timeout', 'timeout');
    IF timeout = 0 THEN
        PERFORM {schema}.enqueue_refuse(
            'timeout must be longer than 0, not ' || {schema}.enqueue_shown(given -> 'timeout'), '');
    END IF;
    cwd := {schema}.enqueue_path(keys -> 'cwd', 'cwd');
    output_path := {schema}.enqueue_path(keys -> 'output_path', 'output_path');
    stdin := {schema}.enqueue_path(keys -> 'stdin', 'stdin');
    retry_on := coalesce({schema}.enqueue_exit_codes(keys -> 'retry_on', 'retry_on'), '[]');
    fatal_on := coalesce({schema}.enqueue_exit_codes(keys -> 'fatal_on', 'fatal_on'), '[]');
    SELECT min(code::integer) INTO both_codes FROM jsonb_array_elements_text(retry_on::jsonb) AS code
    WHERE fatal_on::jsonb @> to_jsonb(code::integer);
    IF both_codes IS NOT NULL THEN
        PERFORM {schema}.enqueue_refuse('exit code ' || both_codes || ' is in retry_on and in fatal_on',
            'either it retries, or it never does');
    END IF;
    RETURN {schema}.enqueue_ascii(concat(
        '{"backoff_base":', {schema}.enqueue_float(base),
        ',"backoff_initial":', {schema}.enqueue_float(initial),
        ',"backoff_jitter":', {schema}.enqueue_float(jitter),
        ',"backoff_max":', {schema}.enqueue_float({schema}.enqueue_duration(given -> 'backoff_max', 'backoff_max')),
        ',"cwd":', coalesce(to_json(cwd)::text, 'null'),
        ',"env":', coalesce({schema}.enqueue_env(keys -> 'env', 'env'), '{}'),
        ',"fatal_on":', fatal_on,
        ',"kill_grace":', {schema}.enqueue_float({schema}.enqueue_duration(given -> 'kill_grace', 'kill_grace')),
        ',"max_retries":', {schema}.enqueue_integer(given -> 'max_retries', 'max_retries', 0, 1000000),
        ',"output_path":', coalesce(to_json(output_path)::text, 'null'),
        ',"retry_on":', retry_on,
        ',"shell":', to_json({schema}.enqueue_text(given -> 'shell', 'shell')),
        ',"split_output":',
        to_json({schema}.enqueue_flag(coalesce(keys -> 'split_output', 'false'), 'split_output')),
        ',"stdin":', coalesce(to_json(stdin)::text, 'null'),
        ',"timeout":', {schema}.enqueue_float(timeout),
        ',"umask":', coalesce({schema}.enqueue_umask(keys -> 'umask', 'umask')::text, 'null'), '}'));
END $$;

-- Adds a job; its id. It is there for others, and workers hear of it, when this transaction commits. Errors: 22023
-- (bad input), 23505 (the id is taken). Where `queuectl.notify` is set to `off` no notice is given, and workers find
-- the job when they next look.
CREATE OR REPLACE FUNCTION {schema}.enqueue(job jsonb) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {schema}, pg_temp SET extra_float_digits = 1 SET enable_seqscan = off
SET standard_conforming_strings = on AS $$
DECLARE
    keys jsonb := {schema}.enqueue_keys(job);
    now double precision := extract(epoch FROM clock_timestamp());
    new_id text; line text; lane text; urgency integer; wait boolean; due double precision; spec bigint; labels text;
BEGIN
    IF keys ? 'id' THEN
        new_id := {schema}.enqueue_name(keys -> 'id', 'id', 'A-Za-z0-9._:-', 'A-Z a-z 0-9 . _ : -');
    ELSE
        new_id := {schema}.enqueue_new_id();
    END IF;
    line := {schema}.enqueue_command(keys -> 'command');
    lane := {schema}.enqueue_name(coalesce(keys -> 'queue', '"default"'), 'queue', 'A-Za-z0-9._:/@+-',
        'A-Z a-z 0-9 . _ : / @ + -');
    urgency := {schema}.enqueue_integer(coalesce(keys -> 'priority', '0'), 'priority', -1000000, 1000000);
    wait := {schema}.enqueue_flag(coalesce(keys -> 'held', 'false'), 'held');
    labels := {schema}.enqueue_tags(coalesce(keys -> 'tags', '[]'));
    due := now;
    IF keys ? 'run_at' THEN
        due := {schema}.enqueue_time(keys -> 'run_at', 'run_at', now);
    ELSIF keys ? 'delay' THEN
        due := now + {schema}.enqueue_duration(keys -> 'delay', 'delay');
    END IF;
    spec := {schema}.enqueue_spec_number({schema}.enqueue_spec(keys));
    INSERT INTO {schema}.jobs (
        id, generated_id, spec, command, words, queue, priority, tags, owner, created_at, run_at, updated_at, state,
        held, ready, due_at
    ) VALUES (
        new_id, NOT keys ? 'id', spec, line,
        CASE jsonb_typeof(keys -> 'command') WHEN 'array' THEN {schema}.enqueue_ascii((keys -> 'command')::text) END,
        lane, urgency, labels, session_user, now, due, now, 'pending', wait, NOT wait AND due <= now, greatest(due, now)
    ) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'job ' || new_id || ' exists already',
            HINT = 'choose another id, or leave it out to get a new one';
    END IF;
    INSERT INTO {schema}.counts (queue, state, jobs) VALUES (lane, 'pending', 1);
    INSERT INTO {schema}.uses (spec, jobs) VALUES (spec, 1);
    IF current_setting('queuectl.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('queuectl_' || current_schema(), '');
    END IF;
    RETURN new_id;
END $$;
