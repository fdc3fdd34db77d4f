-- What is too large for a row's page, such as the record of a retrieval, is compressed once for every answer: lz4 is the faster way,
-- where this server was built with it. Sessions begin with the setting, so those that are open keep theirs.
do $$
begin
  execute format('alter database %I set default_toast_compression = lz4', current_database());
exception when invalid_parameter_value then
  raise notice 'this server has no lz4; it goes on with pglz';
end $$;
